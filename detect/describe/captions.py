"""The records of a data set of photos with sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Mention:
    """Words of a sentence that name one object, or the objects of one class.

    words: the indices of its tokens in the sentence, ascending; boxes (B, 4) float32 x1 y1 x2 y2 in pixels of the
    photo: of the built-in shapes exactly the one that is meant, of a COCO noun every object of its class.
    """

    words: tuple[int, ...]
    boxes: np.ndarray

    def __post_init__(self) -> None:
        _check_boxes("Mention.boxes", self.boxes)
        if not self.words or not len(self.boxes):
            raise ValueError(f"Mention: expected words and boxes, found {len(self.words)} and {len(self.boxes)}")


@dataclass(frozen=True)
class Sentence:
    """One sentence about a photo.

    text: as its author wrote it; tokens: its words, as ``tokenize`` splits them; mentions: which of them name an object
    whose box is known, none where no boxes are.
    """

    text: str
    tokens: tuple[str, ...]
    mentions: tuple[Mention, ...] = ()

    def __post_init__(self) -> None:
        words = [word for mention in self.mentions for word in mention.words]
        if words and not 0 <= min(words) <= max(words) < len(self.tokens):
            raise ValueError(f"Sentence.mentions: expected words in 0..{len(self.tokens) - 1}, found {sorted(words)}")


@dataclass(frozen=True)
class CaptionedImage:
    """A photo, its sentences and the objects that are labelled on it.

    name: unique in its data set, the path below its folder or ``shapes/val/17``; boxes (G, 4) float32 and labels (G,)
    int64 in 1..K, none where the data set has no boxes.
    """

    name: str
    sentences: tuple[Sentence, ...]
    boxes: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        _check_boxes("CaptionedImage.boxes", self.boxes)
        if self.labels.shape != (len(self.boxes),):
            raise ValueError(f"CaptionedImage.labels: expected ({len(self.boxes)},), found {self.labels.shape}")


class CaptionDataset(Protocol):
    """A data set of one split, as every reader of ``formats`` returns it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of labels 1..K; none where the data set has no boxes."""

    @property
    def images(self) -> Sequence[CaptionedImage]:
        """The photos in a fixed order, without their pixels."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines on what was left out of the files, none where nothing was."""

    def stamp(self, index: int) -> str:
        """Return a text that is another one after the file of a photo was replaced."""

    def read(self, index: int) -> np.ndarray:
        """Return the pixels (H, W, 3) of a photo, RGB uint8. Raises UserError where it cannot be read."""


def no_boxes() -> np.ndarray:
    """Return the boxes (0, 4) of a photo without any."""
    return np.zeros((0, 4), np.float32)


def _check_boxes(name: str, boxes: np.ndarray) -> None:
    """Raise ValueError unless ``boxes`` is (any, 4) float32."""
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype != np.float32:
        raise ValueError(f"{name}: expected (any, 4) float32, found {boxes.shape} {boxes.dtype}")
