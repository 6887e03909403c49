"""A data set as packed arrays.

Loader workers are forked or spawned with this record inside. A few flat arrays are shared, or copied once. Lists of
Python objects would be copied page by page as their reference counts change, so that memory grows with every worker.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from detect.data.masks import PackedMasks
from detect.ops.slices import Window
from detect.types import Size, Targets


@dataclass(frozen=True)
class ImageAnnotation:
    """One image and its objects.

    file: absolute path; size (h, w) after EXIF rotation, as the annotation file gives it; boxes (G, 4) float64,
    continuous pixels; labels (G,) int64 in 1..K; difficult and crowd (G,) bool; areas (G,) float64 in square pixels
    (COCO's own area, which is that of the mask; elsewhere width times height); masks: of the G objects, None where none
    were read, as they lie in the whole image; window: x1 y1 x2 y2 in the image file, if this is a slice of it: size and
    boxes are those of the slice; occluded and truncated (G,) bool: whether a part of the object is hidden, or outside
    the image, None where the labels mark none.
    """

    file: str
    image_id: int
    size: Size
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    masks: PackedMasks | None = None
    window: Window | None = None
    occluded: np.ndarray | None = None
    truncated: np.ndarray | None = None

    def targets(self) -> Targets:
        """Return the G objects as training targets, in pixels of the image, without masks."""
        return Targets(
            torch.from_numpy(self.boxes.astype(np.float32)),
            torch.from_numpy(self.labels),
            torch.from_numpy(self.difficult),
            torch.from_numpy(self.crowd),
        )


@dataclass(frozen=True)
class DroppedBox:
    """A box that cannot be used.

    file: the label file; object: which object of that file (its index from 1, its line, or its annotation id) and its
    class; reason: why it was dropped.
    """

    file: str
    object: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.object}: {self.reason}"


@dataclass(frozen=True)
class Annotations:
    """A complete data set: N images and T objects in all. The objects of image i are ``offsets[i]:offsets[i + 1]``.

    file_bytes and file_offsets hold the N paths, encoded as the file system has them and joined end to end; image_ids
    (N,) int64, unique, counted from 1 where the format has none; sizes (N, 2) int32 (h, w); offsets (N + 1,) int64; the
    other arrays are those of ImageAnnotation, with T in place of G, and so are the masks, None where none were read.
    occluded and truncated (T,): None where no image has such marks; the objects of an image without have none.
    category_ids (K,) int64: the ids that the format uses for the classes (COCO's have gaps); 1..K for other formats.
    windows (N, 4) int32: of slices, 0 0 0 0 for a whole image; None where all are whole.
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
    masks: PackedMasks | None = None
    windows: np.ndarray | None = None
    occluded: np.ndarray | None = None
    truncated: np.ndarray | None = None

    @classmethod
    def from_images(
        cls,
        images: Sequence[ImageAnnotation],
        classes: Sequence[str],
        category_ids: Sequence[int] | None = None,
        dropped: Sequence[DroppedBox] = (),
    ) -> Annotations:
        """Return the data set of these images, in their order. category_ids None: 1..K."""
        names = [os.fsencode(image.file) for image in images]
        ids = range(1, len(classes) + 1) if category_ids is None else category_ids
        return cls(
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
            masks=_concatenate_masks(images),
            windows=_pack_windows(images),
            occluded=_concatenate_marks([image.occluded for image in images], images),
            truncated=_concatenate_marks([image.truncated for image in images], images),
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def file(self, index: int) -> str:
        """Return the absolute path of an image."""
        return os.fsdecode(bytes(self.file_bytes[self.file_offsets[index] : self.file_offsets[index + 1]]))

    def size(self, index: int) -> Size:
        """Return the (h, w) of an image."""
        return int(self.sizes[index, 0]), int(self.sizes[index, 1])

    def __getitem__(self, index: int) -> ImageAnnotation:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return ImageAnnotation(
            file=self.file(index),
            image_id=int(self.image_ids[index]),
            size=self.size(index),
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            difficult=self.difficult[rows],
            crowd=self.crowd[rows],
            areas=self.areas[rows],
            masks=None if self.masks is None else self.masks.rows(rows),
            window=self._window(index),
            occluded=None if self.occluded is None else self.occluded[rows],
            truncated=None if self.truncated is None else self.truncated[rows],
        )

    def _window(self, index: int) -> Window | None:
        """Return the window of a slice; None for a whole image."""
        if self.windows is None or not self.windows[index].any():
            return None
        x1, y1, x2, y2 = self.windows[index].tolist()
        return x1, y1, x2, y2


def _concatenate_masks(images: Sequence[ImageAnnotation]) -> PackedMasks | None:
    """Return the masks of all images; None where none have any. An image without gives its objects none."""
    if all(image.masks is None for image in images):
        return None
    return PackedMasks.concatenate([image.masks or PackedMasks.pack([None] * len(image.boxes)) for image in images])


def _concatenate_marks(marks: Sequence[np.ndarray | None], images: Sequence[ImageAnnotation]) -> np.ndarray | None:
    """Return the marks (T,) of all objects; None where no image has any. An image without marks none of its objects."""
    if all(image_marks is None for image_marks in marks):
        return None
    return np.concatenate(
        [
            np.zeros(len(image.boxes), bool) if image_marks is None else image_marks
            for image_marks, image in zip(marks, images, strict=True)
        ]
    )


def _pack_windows(images: Sequence[ImageAnnotation]) -> np.ndarray | None:
    """Return the windows (N, 4) of all images; None where all are whole."""
    if all(image.window is None for image in images):
        return None
    return np.asarray([image.window or (0, 0, 0, 0) for image in images], np.int32)


def _offsets(counts: Sequence[int]) -> np.ndarray:
    """Return the start of each group and the end of the last: [3, 2] -> [0, 3, 5]."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
