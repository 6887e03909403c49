"""What a data set says, as packed arrays.

Loader workers are forked or spawned with this record inside; a few flat arrays are shared or copied once, while lists
of Python objects are copied page by page as their reference counts change, so that memory grows with every worker.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from detect.types import Size, Targets


@dataclass(frozen=True)
class ImageAnnotation:
    """One image and its objects.

    file: absolute path; size (h, w) after EXIF rotation, as the annotation file says it; boxes (G, 4) float64,
    continuous pixels; labels (G,) int64 in 1..K; difficult and crowd (G,) bool; areas (G,) float64 in square pixels
    (COCO's own, which is the mask's, else width times height).
    """

    file: str
    image_id: int
    size: Size
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray

    def targets(self) -> Targets:
        """The objects as a detector learns them, in pixels of the image."""
        return Targets(
            torch.from_numpy(self.boxes.astype(np.float32)),
            torch.from_numpy(self.labels),
            torch.from_numpy(self.difficult),
            torch.from_numpy(self.crowd),
        )


@dataclass(frozen=True)
class DroppedBox:
    """A box that was left out: its file, the object (1-based place in the file, or annotation id) and the reason."""

    file: str
    object: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.object}: {self.reason}"


@dataclass(frozen=True)
class Annotations:
    """A whole data set: N images, T objects in all, the objects of image i at ``offsets[i]:offsets[i + 1]``.

    file_bytes and file_offsets hold the N paths as the system has them, end to end; image_ids (N,) int64, unique,
    1-based where the format has none; sizes (N, 2) int32 (h, w); offsets (N + 1,) int64; the rest as in
    ImageAnnotation with T for G.
    category_ids (K,) int64: the ids that the format uses for the classes (COCO has gaps), 1..K elsewhere.
    """

    classes: tuple[str, ...]
    category_ids: np.ndarray
    file_bytes: np.ndarray
    file_offsets: np.ndarray
    image_ids: np.ndarray
    sizes: np.ndarray
    offsets: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    dropped: tuple[DroppedBox, ...] = ()

    def __len__(self) -> int:
        return len(self.image_ids)

    def file(self, index: int) -> str:
        """The absolute path of an image."""
        return os.fsdecode(bytes(self.file_bytes[self.file_offsets[index] : self.file_offsets[index + 1]]))

    def size(self, index: int) -> Size:
        """The (h, w) of an image."""
        return int(self.sizes[index, 0]), int(self.sizes[index, 1])

    def __getitem__(self, index: int) -> ImageAnnotation:
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return ImageAnnotation(
            file=self.file(index),
            image_id=int(self.image_ids[index]),
            size=self.size(index),
            boxes=self.boxes[at],
            labels=self.labels[at],
            difficult=self.difficult[at],
            crowd=self.crowd[at],
            areas=self.areas[at],
        )


def pack(
    images: Sequence[ImageAnnotation],
    classes: Sequence[str],
    category_ids: Sequence[int] | None = None,
    dropped: Sequence[DroppedBox] = (),
) -> Annotations:
    """Many ImageAnnotation as one Annotations."""
    names = [os.fsencode(image.file) for image in images]
    ids = range(1, len(classes) + 1) if category_ids is None else category_ids
    return Annotations(
        classes=tuple(classes),
        category_ids=np.asarray(list(ids), np.int64),
        file_bytes=np.frombuffer(b"".join(names), np.uint8),
        file_offsets=_offsets([len(name) for name in names]),
        image_ids=np.asarray([image.image_id for image in images], np.int64),
        sizes=np.asarray([image.size for image in images], np.int32).reshape(-1, 2),
        offsets=_offsets([len(image.boxes) for image in images]),
        boxes=np.concatenate([np.zeros((0, 4)), *(image.boxes for image in images)]),
        labels=np.concatenate([np.zeros(0, np.int64), *(image.labels for image in images)]),
        difficult=np.concatenate([np.zeros(0, bool), *(image.difficult for image in images)]),
        crowd=np.concatenate([np.zeros(0, bool), *(image.crowd for image in images)]),
        areas=np.concatenate([np.zeros(0), *(image.areas for image in images)]),
        dropped=tuple(dropped),
    )


def _offsets(counts: Sequence[int]) -> np.ndarray:
    """[3, 2] -> [0, 3, 5]."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
