"""Images to look at, before and after augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from detect.data.annotations import Annotations
from detect.data.images import read_image
from detect.data.loading.transforms import Augment, Example, Transform, clipped
from detect.ops.preprocess import Preprocess
from detect.system.randomness import generator, key

SIDE = 560  # pixels of the longer side of what is shown: 50 kB as JPEG


@dataclass(frozen=True)
class View:
    """rgb (h, w, 3) uint8, its longer side at most SIDE; boxes (G, 4) in its pixels; labels (G,) in 1..K; difficult
    and crowd (G,) bool."""

    rgb: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True)
class ShownImage:
    """An image as it is, and as a training may see it, once for each of some epochs."""

    file: str
    before: View
    after: tuple[View, ...]


def choose(annotations: Annotations, number: int, labels: Sequence[int]) -> list[int]:
    """``number`` images at random, always the same, in their own order; each class at least once where that fits.

    labels: classes of which an image must show one; none for any image.
    """
    shown = [set(annotations[index].labels.tolist()) for index in range(len(annotations))]
    order = generator("photos to show").permutation(len(annotations)).tolist()
    order = [index for index in order if not labels or shown[index] & set(labels)]
    counts = {label: sum(label in each for each in shown) for label in labels or range(1, len(annotations.classes) + 1)}
    chosen: dict[int, None] = {}
    for label in sorted(counts, key=lambda one: counts[one]):
        if not any(label in shown[index] for index in chosen):
            chosen |= dict.fromkeys([index for index in order if label in shown[index]][:1])
    chosen |= dict.fromkeys(order)
    return sorted(list(chosen)[:number])


class Gallery:
    """Makes what is shown of an image by the training's own transform."""

    def __init__(self, annotations: Annotations, preprocess: Preprocess, augment: Augment, seed: int) -> None:
        self._annotations = annotations
        self._transform = Transform(preprocess, augment)
        self._seed = seed

    def show(self, index: int, epochs: int) -> ShownImage:
        """Raises UnreadableImage."""
        annotation = self._annotations[index]
        example = Example(
            read_image(annotation.file),
            annotation.boxes.astype(np.float32),
            annotation.labels,
            annotation.difficult,
            annotation.crowd,
        )
        roots = (key(self._seed, epoch, annotation.image_id) for epoch in range(epochs))
        after = tuple(_view(self._transform(example, root)) for root in roots)
        return ShownImage(annotation.file, _view(clipped(example)), after)


def _view(example: Example) -> View:
    """Shrunk to SIDE, never enlarged."""
    scale = min(1.0, SIDE / max(example.size))
    height, width = (max(1, round(side * scale)) for side in example.size)
    rgb = cv2.resize(example.rgb, (width, height), interpolation=cv2.INTER_AREA)
    factors = np.asarray([width / example.size[1], height / example.size[0]] * 2)
    boxes = np.asarray(example.boxes, np.float64).reshape(-1, 4) * factors
    return View(np.asarray(rgb), boxes, example.labels, example.difficult, example.crowd)
