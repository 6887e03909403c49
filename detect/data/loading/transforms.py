"""From a decoded image to the network's size, with everything known about it: crop, one resize, flip, colour.

Boxes are moved here, exactly, by what the pixels went through; only the pixels go to albumentations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from detect.data.loading.crop_boxes import Window, mirrored, through, visible_share
from detect.ops.preprocess import Preprocess
from detect.types import Size

_LEAST_SIDE = 0.01  # resized pixels; what is thinner is rounding, not an object


@dataclass(frozen=True)
class Given:
    """Proposals for one image, best first: boxes (P, 4) float32, scores (P,) float32."""

    boxes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Example:
    """An image and what is known of it.

    rgb (H, W, 3) uint8; boxes (G, 4) float32; labels (G,) int64; difficult and crowd (G,) bool.
    """

    rgb: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    given: Given | None = None

    @property
    def size(self) -> Size:
        """(h, w) of the pixels."""
        return int(self.rgb.shape[0]), int(self.rgb.shape[1])


@dataclass(frozen=True)
class Augment:
    """What happens to a training image.

    flip: probability of a flip left to right; crop: probability of a random crop (30 to 100% of the area); visible:
    an object keeps its (clipped) box where at least this share of its area is inside the crop, else it is left out;
    colour: strength in 0..1 of the jitter of brightness, contrast and saturation (factors 1 - colour to 1 + colour)
    and hue (a tenth of it, in turns).
    """

    flip: float = 0.5
    crop: float = 0.0
    colour: float = 0.0
    visible: float = 0.4

    @property
    def off(self) -> bool:
        """True where the pixels are only resized."""
        return self.flip <= 0 and self.crop <= 0 and self.colour <= 0


class Transform:
    """Crop, resize, flip, colour, for training. Built once in each worker; a call depends on its arguments alone."""

    def __init__(self, preprocess: Preprocess, augment: Augment) -> None:
        self.preprocess = preprocess
        self.visible = augment.visible
        self.pixels = None
        if not augment.off:
            from detect.data.loading.augmentation import PixelAugmentation

            self.pixels = PixelAugmentation(augment.flip, augment.crop, augment.colour, augment.visible)

    def __call__(self, example: Example, root: int, min_size: int | None = None) -> Example:
        """The example at its resized size, boxes clipped to the picture, those without extent removed.

        root: the key of all random draws; min_size: overrides the preprocessing's.
        """
        if self.pixels is None:
            return resized(clipped(example), self.preprocess, min_size)
        rgb, window = self.pixels.crop(example.rgb, example.boxes, root)
        example = clipped(example) if window is None else _cropped(example, rgb, window, self.visible)
        example = resized(example, self.preprocess, min_size)
        rgb, flipped = self.pixels.flip(example.rgb, root)
        example = _flipped(example, rgb) if flipped else example
        return replace(example, rgb=self.pixels.recolour(example.rgb, root))


def clipped(example: Example) -> Example:
    """The same with boxes clipped to the picture; those entirely outside are removed."""
    height, width = example.size
    return _cropped(example, example.rgb, (0, 0, width, height), 0.0)


def resized(example: Example, preprocess: Preprocess, min_size: int | None = None) -> Example:
    """At the size that ``preprocess`` gives it, boxes clipped; those under a hundredth of a pixel are removed."""
    rgb = preprocess.resize(example.rgb, min_size)
    y, x = rgb.shape[0] / example.size[0], rgb.shape[1] / example.size[1]
    scale = np.asarray([x, y, x, y], np.float32)
    whole = (0, 0, rgb.shape[1], rgb.shape[0])
    moved = _moved(example, rgb, lambda boxes: through(boxes * scale, whole))  # a product may be an ulp too large
    return _select(moved, _has_extent(moved.boxes))


def _cropped(example: Example, rgb: np.ndarray, window: Window, visible: float) -> Example:
    """Everything through the window; objects with less than the share ``visible`` left are removed."""
    share = visible_share(example.boxes, window)
    moved = _moved(example, rgb, lambda boxes: through(boxes, window))
    return _select(moved, (share > 0) & (share >= visible))


def _flipped(example: Example, rgb: np.ndarray) -> Example:
    return _moved(example, rgb, lambda boxes: mirrored(boxes, example.size[1]))


def _moved(example: Example, rgb: np.ndarray, move: Callable[[np.ndarray], np.ndarray]) -> Example:
    """New pixels, and all boxes moved with them; given proposals that lose their extent are removed."""
    given = example.given
    if given is not None:
        boxes = move(given.boxes)
        kept = _has_extent(boxes)
        given = Given(boxes[kept], given.scores[kept])
    return replace(example, rgb=rgb, boxes=move(example.boxes), given=given)


def _select(example: Example, chosen: np.ndarray) -> Example:
    """The example with only the chosen objects."""
    return replace(
        example,
        boxes=example.boxes[chosen],
        labels=example.labels[chosen],
        difficult=example.difficult[chosen],
        crowd=example.crowd[chosen],
    )


def _has_extent(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2] - boxes[:, 0] >= _LEAST_SIDE) & (boxes[:, 3] - boxes[:, 1] >= _LEAST_SIDE))
