"""Renders images with their boxes, before and after augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from detect.data.annotations import Annotations
from detect.data.images import read_image
from detect.data.loading.transforms import Augment, Example, Transform, clip_boxes, resize_masks
from detect.ops.preprocess import Preprocess
from detect.system.randomness import hash_key, numpy_generator

MAX_SIDE = 560  # pixels of the longer side of a view, which takes 50 kB as JPEG


@dataclass(frozen=True)
class GalleryView:
    """An image as the gallery shows it, with its boxes.

    rgb (h, w, 3) uint8: its longer side is at most MAX_SIDE; boxes (G, 4): in its pixels; labels (G,) in 1..K;
    difficult and crowd (G,) bool; masks (G, h, w) bool, or None.
    """

    rgb: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    masks: np.ndarray | None = None


@dataclass(frozen=True)
class GalleryImage:
    """An image before augmentation, and after it, once for each of several epochs."""

    file: str
    before: GalleryView
    after: tuple[GalleryView, ...]


def sample_images(annotations: Annotations, num_images: int, labels: Sequence[int]) -> list[int]:
    """Return the sorted indices of ``num_images`` random images, which are the same in every call.

    Each class is in at least one of them, if ``num_images`` is large enough. labels: an image must contain one of these
    classes; empty for any image.
    """
    labels_of = [set(annotations[index].labels.tolist()) for index in range(len(annotations))]
    order = numpy_generator("photos to show").permutation(len(annotations)).tolist()
    order = [index for index in order if not labels or labels_of[index] & set(labels)]
    candidates = labels or range(1, len(annotations.classes) + 1)
    counts = {label: sum(label in image_labels for image_labels in labels_of) for label in candidates}
    selected: dict[int, None] = {}
    for label in sorted(counts, key=lambda label: counts[label]):
        if not any(label in labels_of[index] for index in selected):
            selected |= dict.fromkeys([index for index in order if label in labels_of[index]][:1])
    selected |= dict.fromkeys(order)
    return sorted(list(selected)[:num_images])


class GalleryRenderer:
    """Renders the views of an image, with the transform that training uses."""

    def __init__(self, annotations: Annotations, preprocess: Preprocess, augment: Augment, seed: int) -> None:
        self._annotations = annotations
        self._transform = Transform(preprocess, augment)
        self._seed = seed

    def render(self, index: int, num_augmentations: int) -> GalleryImage:
        """Return the views of image ``index``. Raises UnreadableImage."""
        annotation = self._annotations[index]
        example = Example(
            read_image(annotation.file),
            annotation.boxes.astype(np.float32),
            annotation.labels,
            annotation.difficult,
            annotation.crowd,
        )
        if annotation.masks is not None and annotation.masks.lengths.any():
            example = replace(example, masks=annotation.masks.bitmaps(example.size))
        seeds = (hash_key(self._seed, epoch, annotation.image_id) for epoch in range(num_augmentations))
        after = tuple(_render_view(self._transform(example, seed)) for seed in seeds)
        return GalleryImage(annotation.file, _render_view(clip_boxes(example)), after)


def _render_view(example: Example) -> GalleryView:
    """Return a view shrunk to MAX_SIDE, never enlarged."""
    scale = min(1.0, MAX_SIDE / max(example.size))
    height, width = (max(1, round(side * scale)) for side in example.size)
    rgb = cv2.resize(example.rgb, (width, height), interpolation=cv2.INTER_AREA)
    scales = np.asarray([width / example.size[1], height / example.size[0]] * 2)
    boxes = np.asarray(example.boxes, np.float64).reshape(-1, 4) * scales
    masks = None if example.masks is None else resize_masks(example.masks, (height, width))
    return GalleryView(np.asarray(rgb), boxes, example.labels, example.difficult, example.crowd, masks)
