"""What a detector said about a data set, in pixels of the original images, and how it is matched to the ground truth.

Plain numpy: results that some other tool wrote are scored without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detect.data.image_names import ImageNames
from detect.errors import UserError

if TYPE_CHECKING:  # annotations.py imports torch, which scoring does not need
    from detect.data.annotations import Annotations
    from detect.types import Size


@dataclass(frozen=True)
class Prediction:
    """The detections of one image.

    file: its path, as the maker wrote it; width and height in pixels; boxes (D, 4) float64, continuous pixels of the
    original image; scores (D,) float64, higher is surer; labels (D,) int64 in 1..K. Any order; equal scores rank in the
    order given.
    """

    file: str
    width: int
    height: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.scores)
        _check("Prediction.boxes", self.boxes, (count, 4), np.float64)
        _check("Prediction.scores", self.scores, (count,), np.float64)
        _check("Prediction.labels", self.labels, (count,), np.int64)

    def __len__(self) -> int:
        return len(self.scores)


def nothing_found(file: str, size: Size) -> Prediction:
    """A Prediction without detections; size is (h, w)."""
    height, width = size
    return Prediction(file, width, height, np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


@dataclass(frozen=True)
class FlatPredictions:
    """All D detections of a data set, ordered by image, then as given: the order that breaks ties of score.

    images (D,) int64: the place of each one's image; boxes, scores and labels as in Prediction.
    """

    images: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def flatten(predictions: Sequence[Prediction]) -> FlatPredictions:
    """The predictions end to end."""
    return FlatPredictions(
        images=np.repeat(np.arange(len(predictions)), np.asarray([len(p) for p in predictions], np.int64)),
        boxes=np.concatenate([np.zeros((0, 4)), *(p.boxes for p in predictions)]),
        scores=np.concatenate([np.zeros(0), *(p.scores for p in predictions)]),
        labels=np.concatenate([np.zeros(0, np.int64), *(p.labels for p in predictions)]),
    )


def require_fit(annotations: Annotations, predictions: Sequence[Prediction]) -> None:
    """Raise ValueError unless there is one prediction for each image, with labels in 1..K."""
    if len(predictions) != len(annotations):
        count = len(annotations)
        raise ValueError(f"expected {count} predictions, one an image, found {len(predictions)}: call align first")
    classes = len(annotations.classes)
    for prediction in predictions:
        if len(prediction) and not (prediction.labels.min() >= 1 and prediction.labels.max() <= classes):
            found = sorted(set(prediction.labels.tolist()))
            raise ValueError(f"{prediction.file}: expected labels in 1..{classes}, found {found}")


def align(annotations: Annotations, predictions: Sequence[Prediction]) -> list[Prediction]:
    """The predictions in the order of the images; an image without one gets an empty Prediction.

    An image is found by its full path, else by its path below the folder that all images share (a longer path may lead
    there: results made on another machine), else by that path without its suffix, else by its name without suffix, as
    in VOC's text files.
    Raises UserError for a file that names no image or several, and for two predictions of one image.
    """
    files = [annotations.file(index) for index in range(len(annotations))]
    if files == [prediction.file for prediction in predictions] and len(set(files)) == len(files):
        return list(predictions)
    names = ImageNames(files)
    found: dict[int, Prediction] = {}
    for prediction in predictions:
        index = names.find(prediction.file)
        if index in found:
            first = found[index].file
            raise UserError(f"{prediction.file}: expected one entry for {files[index]}, found a second after {first}")
        found[index] = prediction
    return [found[i] if i in found else nothing_found(file, annotations.size(i)) for i, file in enumerate(files)]


def _check(name: str, value: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if value.shape != shape or value.dtype != dtype:
        raise ValueError(f"{name}: expected {shape} {np.dtype(dtype)}, found {value.shape} {value.dtype}")
