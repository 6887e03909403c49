"""What a detector said about a data set, in pixels of the original photos, and how it is matched to the ground truth.

Plain numpy: results that some other tool wrote are scored without a model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from detect.errors import UserError, nearest

if TYPE_CHECKING:  # annotations.py imports torch, which scoring does not need
    from detect.data.annotations import Annotations
    from detect.types import Size


@dataclass(frozen=True)
class Prediction:
    """The detections of one photo.

    file: its path, as the maker wrote it; width and height in pixels; boxes (D, 4) float64, continuous pixels of the
    original photo; scores (D,) float64, higher is surer; labels (D,) int64 in 1..K. Any order; equal scores rank in the
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
    """All D detections of a data set, ordered by photo, then as given: the order that breaks ties of score.

    images (D,) int64: the place of each one's photo; boxes, scores and labels as in Prediction.
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
    """Raise ValueError unless there is one prediction for each photo, with labels in 1..K."""
    if len(predictions) != len(annotations):
        count = len(annotations)
        raise ValueError(f"expected {count} predictions, one a photo, found {len(predictions)}: call align first")
    classes = len(annotations.classes)
    for prediction in predictions:
        if len(prediction) and not (prediction.labels.min() >= 1 and prediction.labels.max() <= classes):
            found = sorted(set(prediction.labels.tolist()))
            raise ValueError(f"{prediction.file}: expected labels in 1..{classes}, found {found}")


def align(annotations: Annotations, predictions: Sequence[Prediction]) -> list[Prediction]:
    """The predictions in the order of the photos; a photo without one gets an empty Prediction.

    A photo is found by its full path, else by its path below the folder that all photos share (a longer path may lead
    there: results made on another machine), else by that path without its suffix, else by its name without suffix, as
    in VOC's text files.
    Raises UserError for a file that names no photo or several, and for two predictions of one photo.
    """
    files = [annotations.file(index) for index in range(len(annotations))]
    if files == [prediction.file for prediction in predictions] and len(set(files)) == len(files):
        return list(predictions)
    names = PhotoNames(files)
    found: dict[int, Prediction] = {}
    for prediction in predictions:
        index = names.find(prediction.file)
        if index in found:
            first = found[index].file
            raise UserError(f"{prediction.file}: expected one entry for {files[index]}, found a second after {first}")
        found[index] = prediction
    return [found[i] if i in found else nothing_found(file, annotations.size(i)) for i, file in enumerate(files)]


class PhotoNames:
    """The photos of a data set, found by the names that result files give them (the rule is ``align``'s)."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        below = below_shared_folder(files)
        self._full = _places(files)
        self._below = _places(below)
        self._bare = _places([_without_suffix(name) for name in below])
        self._stem = _places([PurePath(name).stem for name in below])

    def find(self, file: str) -> int:
        """The place of the photo that ``file`` names; UserError unless it is exactly one."""
        for places in self._candidates(file):
            if len(places) == 1:
                return places[0]
            both = " and ".join(self._files[place] for place in places[:2])
            raise UserError(f"{file}: expected the name of one photo, found several that fit: {both}")
        names = (*self._below, *self._stem)
        raise UserError(f"{file}: expected one of the {len(self._files)} photos, found no such{nearest(file, names)}")

    def _candidates(self, file: str) -> Iterator[Sequence[int]]:
        """The photos that bear the name, by the surest rule first."""
        tails = list(_tails(file))
        for places, names in (
            (self._full, [file]),
            (self._below, tails),
            (self._bare, [*tails, *map(_without_suffix, tails)]),
            (self._stem, [PurePath(file).name, PurePath(file).stem]),
        ):
            yield from (places[name] for name in names if name in places)


def below_shared_folder(files: Sequence[str]) -> list[str]:
    """Each path relative to the deepest folder that holds all of them, with forward slashes."""
    paths = [PurePath(file) for file in files]
    folders = {str(path.parent) for path in paths}
    mixed = len({path.is_absolute() for path in paths}) > 1
    shared = "" if mixed or not folders else os.path.commonpath(folders)
    return [path.relative_to(shared or ".").as_posix() if not mixed else path.as_posix() for path in paths]


def _tails(file: str) -> Iterator[str]:
    """a/b/c -> a/b/c, b/c, c."""
    parts = PurePath(file).parts
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _without_suffix(name: str) -> str:
    return PurePath(name).with_suffix("").as_posix() if PurePath(name).suffix else name


def _places(names: Sequence[str]) -> Mapping[str, list[int]]:
    """Each name's places among the photos."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return places


def _check(name: str, value: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if value.shape != shape or value.dtype != dtype:
        raise ValueError(f"{name}: expected {shape} {np.dtype(dtype)}, found {value.shape} {value.dtype}")
