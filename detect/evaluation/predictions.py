"""Predictions of a detector for a data set, in pixels of the original images, and their alignment with the annotations.

These are plain numpy arrays, so that the results of other tools are scored without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from detect.data.image_names import ImageNames
from detect.errors import UserError

if TYPE_CHECKING:  # annotations.py imports torch, which scoring does not need
    from detect.data.annotations import Annotations
    from detect.data.masks import RleMask
    from detect.types import Size


@dataclass(frozen=True)
class FrameTime:
    """Where a frame lies in its video: its index, from 0, and the seconds since the first frame."""

    index: int
    seconds: float


@dataclass(frozen=True)
class Prediction:
    """The detections of one image.

    file: the path of the image, as the results spell it; width and height in pixels; boxes (D, 4) float64, continuous
    pixels of the original image; scores (D,) float64, higher is more confident; labels (D,) int64 in 1..K. Detections
    are in any order; those with equal scores rank in this order. masks: D masks of the whole image, or None. frame: of
    a video, None for a photo; tracks (D,) int64: the track of each detection, from 1, 0 for none; None if nothing is
    tracked.
    """

    file: str
    width: int
    height: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: tuple[RleMask, ...] | None = None
    frame: FrameTime | None = None
    tracks: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        _check("Prediction.boxes", self.boxes, (count, 4), np.float64)
        _check("Prediction.scores", self.scores, (count,), np.float64)
        _check("Prediction.labels", self.labels, (count,), np.int64)
        if self.masks is not None and len(self.masks) != count:
            raise ValueError(f"Prediction.masks: expected {count}, found {len(self.masks)}")
        if self.tracks is not None:
            _check("Prediction.tracks", self.tracks, (count,), np.int64)

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, keep: np.ndarray) -> Prediction:
        """Return some of the detections, in their order; keep (D,) bool."""
        masks = None if self.masks is None else tuple(self.masks[index] for index in np.flatnonzero(keep))
        tracks = None if self.tracks is None else self.tracks[keep]
        return replace(
            self,
            boxes=self.boxes[keep],
            scores=self.scores[keep],
            labels=self.labels[keep],
            masks=masks,
            tracks=tracks,
        )


def empty_prediction(file: str, size: Size) -> Prediction:
    """Return a Prediction without detections; size is (h, w)."""
    height, width = size
    return Prediction(file, width, height, np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


@dataclass(frozen=True)
class PredictionColumns:
    """All D detections of a data set, ordered by image, then as in the Prediction: the order that breaks ties of score.

    images (D,) int64: the index of the image of each detection; boxes, scores and labels as in Prediction.
    """

    images: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def flatten(predictions: Sequence[Prediction]) -> PredictionColumns:
    """Return the predictions of all images, concatenated."""
    return PredictionColumns(
        images=np.repeat(np.arange(len(predictions)), np.asarray([len(p) for p in predictions], np.int64)),
        boxes=np.concatenate([np.zeros((0, 4)), *(p.boxes for p in predictions)]),
        scores=np.concatenate([np.zeros(0), *(p.scores for p in predictions)]),
        labels=np.concatenate([np.zeros(0, np.int64), *(p.labels for p in predictions)]),
    )


def require_aligned(annotations: Annotations, predictions: Sequence[Prediction]) -> None:
    """Raise ValueError unless there is one prediction for each image, with labels in 1..K."""
    if len(predictions) != len(annotations):
        count = len(annotations)
        raise ValueError(
            f"expected {count} predictions, one for each image, found {len(predictions)}: call align first"
        )
    classes = len(annotations.classes)
    for prediction in predictions:
        if len(prediction) and not (prediction.labels.min() >= 1 and prediction.labels.max() <= classes):
            labels = sorted(set(prediction.labels.tolist()))
            raise ValueError(f"{prediction.file}: expected labels in 1..{classes}, found {labels}")


def align(annotations: Annotations, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the predictions in the order of the images; an image without one gets an empty Prediction.

    A prediction names its image by the full path, else by the path below the folder that all images share (it may be
    the end of a longer path: results from another machine), else by that path without its suffix, else by the file name
    without suffix, as in VOC's text files.
    Raises UserError for a file that names no image or several, and for two predictions of one image.
    """
    files = [annotations.file(index) for index in range(len(annotations))]
    if files == [prediction.file for prediction in predictions] and len(set(files)) == len(files):
        return list(predictions)
    names = ImageNames(files)
    by_image: dict[int, Prediction] = {}
    for prediction in predictions:
        index = names.find(prediction.file)
        if index in by_image:
            first = by_image[index].file
            raise UserError(f"{prediction.file}: expected one entry for {files[index]}, found a second after {first}")
        by_image[index] = prediction
    return [
        by_image[i] if i in by_image else empty_prediction(file, annotations.size(i)) for i, file in enumerate(files)
    ]


def _check(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name}: expected {shape} {np.dtype(dtype)}, found {array.shape} {array.dtype}")
