"""Transforms of a decoded image with its boxes, masks and proposals: crop, one resize, flip, color jitter.

Boxes and masks are transformed here, exactly as the pixels were; albumentations gets the pixels only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from detect.data.loading.crop_boxes import clip_to_window, hflip_boxes, is_shown
from detect.ops.preprocess import Preprocess
from detect.ops.slices import Window
from detect.types import Size

_MIN_SIDE = 0.01  # resized pixels; a thinner box comes from rounding, not from an object


@dataclass(frozen=True)
class ImageProposals:
    """Precomputed proposals for one image, best first: boxes (P, 4) float32, scores (P,) float32."""

    boxes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Example:
    """An image with its objects and its proposals.

    rgb (H, W, 3) uint8; boxes (G, 4) float32; labels (G,) int64; difficult and crowd (G,) bool; masks (G, H, W) bool,
    None where none were read.
    """

    rgb: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    proposals: ImageProposals | None = None
    masks: np.ndarray | None = None

    @property
    def size(self) -> Size:
        """The (h, w) of the pixels."""
        return int(self.rgb.shape[0]), int(self.rgb.shape[1])


@dataclass(frozen=True)
class Augment:
    """Settings of the augmentation of training images.

    flip: probability of a flip left to right; crop: probability of a random crop (30 to 100% of the area);
    color_jitter: strength in 0..1 of the jitter of brightness, contrast and saturation (factors 1 - strength to 1 +
    strength) and hue (a tenth of it, in turns); min_visibility: an object keeps its (clipped) box if at least this
    fraction of its area in the image is inside the crop, otherwise it is removed; a crowd keeps its box if any part is.
    """

    flip: float = 0.5
    crop: float = 0.0
    color_jitter: float = 0.0
    min_visibility: float = 0.4

    @property
    def is_identity(self) -> bool:
        """True if images are only resized."""
        return self.flip <= 0 and self.crop <= 0 and self.color_jitter <= 0


class Transform:
    """Crops, resizes, flips and jitters the colors of training images.

    It is built once in each worker. A call depends on its arguments only.
    """

    def __init__(self, preprocess: Preprocess, augment: Augment) -> None:
        self.preprocess = preprocess
        self.min_visibility = augment.min_visibility
        self.augmentation = None
        if not augment.is_identity:
            from detect.data.loading.augmentation import PixelAugmentation

            self.augmentation = PixelAugmentation(
                augment.flip, augment.crop, augment.color_jitter, augment.min_visibility
            )

    def __call__(self, example: Example, seed: int, min_size: int | None = None) -> Example:
        """Return the example, resized, with boxes clipped to the image and without boxes that have no extent.

        seed: the root of all random draws; min_size: replaces that of ``preprocess``.
        """
        example = clip_boxes(example)
        if self.augmentation is None:
            return resize_example(example, self.preprocess, min_size)
        rgb, window = self.augmentation.crop(example.rgb, example.boxes, seed)
        example = example if window is None else _crop(example, rgb, window, self.min_visibility)
        example = resize_example(example, self.preprocess, min_size)
        rgb, flipped = self.augmentation.flip(example.rgb, seed)
        example = _hflip(example, rgb) if flipped else example
        return replace(example, rgb=self.augmentation.color_jitter(example.rgb, seed))


def clip_boxes(example: Example) -> Example:
    """Return the example with boxes clipped to the image; those entirely outside are removed."""
    height, width = example.size
    return _crop(example, example.rgb, (0, 0, width, height), 0.0)


def resize_example(example: Example, preprocess: Preprocess, min_size: int | None = None) -> Example:
    """Return the example at the size that ``preprocess`` gives it, with clipped boxes.

    Boxes with a side under a hundredth of a pixel are removed. min_size: replaces that of ``preprocess``.
    """
    rgb = preprocess.resize(example.rgb, min_size)
    y, x = rgb.shape[0] / example.size[0], rgb.shape[1] / example.size[1]
    scale = np.asarray([x, y, x, y], np.float32)
    window = (0, 0, rgb.shape[1], rgb.shape[0])
    # boxes * scale may exceed the image by a rounding error, so they are clipped again
    resized = _transform_example(
        example,
        rgb,
        lambda boxes: clip_to_window(boxes * scale, window),
        lambda masks: resize_masks(masks, (rgb.shape[0], rgb.shape[1])),
    )
    return _select(resized, _has_extent(resized.boxes))


def _crop(example: Example, rgb: np.ndarray, window: Window, min_visibility: float) -> Example:
    """Return the example in the window; objects with less than the fraction ``min_visibility`` left are removed.

    A crowd is removed only if nothing of it is left.
    """
    keep = is_shown(example.boxes, example.crowd, window, min_visibility)
    x1, y1, x2, y2 = window
    cropped = _transform_example(
        example, rgb, lambda boxes: clip_to_window(boxes, window), lambda masks: masks[:, y1:y2, x1:x2]
    )
    return _select(cropped, keep)


def _hflip(example: Example, rgb: np.ndarray) -> Example:
    """Return the example with pixels that were flipped left to right, and its boxes flipped."""
    return _transform_example(
        example, rgb, lambda boxes: hflip_boxes(boxes, example.size[1]), lambda masks: masks[:, :, ::-1]
    )


def resize_masks(masks: np.ndarray, size: Size) -> np.ndarray:
    """Return masks (G, H, W) bool at ``size`` (h, w): each pixel is the one that its center falls on.

    (torch's "nearest" takes the one of its corner, which would shift a mask by up to half a pixel of the larger size.)
    """
    if masks.shape[1:] == size:
        return masks
    rows, columns = (
        ((2 * np.arange(new) + 1) * old // (2 * new)) for old, new in zip(masks.shape[1:], size, strict=True)
    )
    return masks[:, rows[:, None], columns]


def _transform_example(
    example: Example,
    rgb: np.ndarray,
    transform_boxes: Callable[[np.ndarray], np.ndarray],
    transform_masks: Callable[[np.ndarray], np.ndarray],
) -> Example:
    """Return the example with new pixels, boxes and masks; proposals that lose their extent are removed.

    transform_boxes: from (B, 4) to (B, 4); transform_masks: from (G, H, W) to the size of ``rgb``.
    """
    proposals = example.proposals
    if proposals is not None:
        boxes = transform_boxes(proposals.boxes)
        keep = _has_extent(boxes)
        proposals = ImageProposals(boxes[keep], proposals.scores[keep])
    masks = None if example.masks is None else transform_masks(example.masks)
    return replace(example, rgb=rgb, boxes=transform_boxes(example.boxes), proposals=proposals, masks=masks)


def _select(example: Example, keep: np.ndarray) -> Example:
    """Return the example with only some of its G objects; keep (G,) bool."""
    return replace(
        example,
        boxes=example.boxes[keep],
        labels=example.labels[keep],
        difficult=example.difficult[keep],
        crowd=example.crowd[keep],
        masks=None if example.masks is None else example.masks[keep],
    )


def _has_extent(boxes: np.ndarray) -> np.ndarray:
    """Return (B,) bool: True if both sides of a box (B, 4) have at least _MIN_SIDE pixels."""
    return np.asarray((boxes[:, 2] - boxes[:, 0] >= _MIN_SIDE) & (boxes[:, 3] - boxes[:, 1] >= _MIN_SIDE))
