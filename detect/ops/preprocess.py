"""Turning images into the network's input: resizing, normalization, padding.

The configuration is saved with the weights, and the training loader and prediction both use it, so a model always gets
pixels of the kind that it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from detect.ops.constants import constant
from detect.types import Images, Proposals, Size

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Resizing = Literal["cv2", "float", "pil"]
Channels = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Preprocess:
    """The resizing and normalization of images.

    The shorter side becomes ``min_size``, or less where the longer one would exceed ``max_size`` (Fast R-CNN, section
    5.2). mean and std belong to RGB in 0..1, whatever ``channels`` is: the order of channels that the network gets. The
    sides of a canvas, to which a batch is padded, are multiples of ``divisor``.
    resizing: ``cv2`` rounds sides and colors to whole numbers. ``float`` does as torchvision's detectors do: sides are
    rounded down and colors are not rounded. ``pil`` does as detectron2 does: sides and colors are whole numbers, and
    a pixel of a smaller image is the mean of all pixels that it covers.
    """

    min_size: int = 600
    max_size: int = 1000
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    divisor: int = 32
    resizing: Resizing = "cv2"
    channels: Channels = "rgb"

    def target_size(self, size: Size, min_size: int | None = None) -> Size:
        """Return the (h, w) to which an image of ``size`` is resized; ``min_size`` overrides the configured one.

        (Multi-scale training overrides it.)
        """
        shorter = min_size or self.min_size
        if self.resizing == "pil":
            return _detectron2_size(size, shorter, self.max_size)
        scale = min(shorter / min(size), self.max_size / max(size))
        to_int = round if self.resizing == "cv2" else int
        return max(1, to_int(size[0] * scale)), max(1, to_int(size[1] * scale))

    def resize(self, rgb: np.ndarray, min_size: int | None = None) -> np.ndarray:
        """Resize an image (H, W, 3) of values 0..255 to its target size -> (h, w, 3); bilinear.

        ``pil`` alone antialiases. uint8 stays uint8 with ``cv2`` and ``pil`` and becomes float32 with ``float``; floats
        keep their dtype, and ``pil`` does not accept them.
        """
        height, width = self.target_size((rgb.shape[0], rgb.shape[1]), min_size)
        if (height, width) == rgb.shape[:2]:
            return rgb
        if self.resizing == "cv2":
            return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR))
        if self.resizing == "pil":
            return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(rgb if rgb.dtype.kind == "f" else rgb.astype(np.float32)).permute(2, 0, 1)[None]
        resized = functional.interpolate(pixels, (height, width), mode="bilinear", align_corners=False)
        return resized[0].permute(1, 2, 0).numpy()

    def normalize(self, rgb: np.ndarray) -> Tensor:
        """Normalize RGB (h, w, 3) of values 0..255 -> (3, h, w) in the network's order of channels.

        uint8 becomes float32, floats keep their dtype.
        """
        mean, std, pixels = self.mean, self.std, rgb
        if self.channels == "bgr":
            mean, std, pixels = mean[::-1], std[::-1], np.ascontiguousarray(rgb[:, :, ::-1])
        if pixels.dtype.kind == "f":
            floats = torch.from_numpy(pixels).permute(2, 0, 1)
            return (floats / 255 - _per_channel(mean, floats)) / _per_channel(std, floats)
        scale = np.float32(1.0 / 255.0) / np.asarray(std, np.float32)
        shift = np.asarray(mean, np.float32) / np.asarray(std, np.float32)
        table = (np.arange(256, dtype=np.float32)[:, None, None] * scale - shift).astype(np.float32)
        return torch.from_numpy(np.asarray(cv2.LUT(pixels, table))).permute(2, 0, 1)  # six times as fast as arithmetic

    def denormalize(self, pixels: Tensor) -> np.ndarray:
        """Invert ``normalize`` for display: (3, h, w) -> RGB uint8 (h, w, 3)."""
        image = pixels.flip(0) if self.channels == "bgr" else pixels
        fractions = image * _per_channel(self.std, pixels) + _per_channel(self.mean, pixels)
        return np.asarray((fractions * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy())

    def canvas(self, sizes: Sequence[Size]) -> Size:
        """Return the smallest canvas (H, W) that holds images of all these sizes."""
        height, width = (max(size[side] for size in sizes) for side in (0, 1))
        return -(-height // self.divisor) * self.divisor, -(-width // self.divisor) * self.divisor

    def batch(
        self,
        images: Sequence[Tensor],
        seeds: Sequence[int],
        proposals: Sequence[Proposals] | None = None,
        canvas: Size | None = None,
    ) -> Images:
        """Pad normalized images (3, h, w) to one canvas -> Images; the padding is 0, the mean color.

        seeds: one for each image; proposals: of each image, in its pixels, or None; canvas: (H, W), by default the
        smallest.
        """
        sizes = tuple((int(image.shape[1]), int(image.shape[2])) for image in images)
        height, width = canvas or self.canvas(sizes)
        dtype = images[0].dtype if images else torch.float32
        pixels = torch.zeros(len(images), height, width, 3, dtype=dtype).permute(0, 3, 1, 2)  # channels last
        for padded, image in zip(pixels, images, strict=True):
            padded[:, : image.shape[1], : image.shape[2]] = image
        return Images(pixels, sizes, tuple(seeds), None if proposals is None else tuple(proposals))


def pad_to(images: Images, height: int, width: int) -> Images:
    """Return the same images on a canvas of ``height`` x ``width``, which is as large as theirs or larger."""
    padding = (height - int(images.pixels.shape[2]), width - int(images.pixels.shape[3]))
    if padding == (0, 0):
        return images
    return replace(images, pixels=functional.pad(images.pixels, (0, padding[1], 0, padding[0])))


def _detectron2_size(size: Size, shorter: int, longer: int) -> Size:
    """Return the target size as detectron2 computes it: scale the shorter side, then limit the longer; halves up."""
    scale = shorter / min(size)
    height, width = (float(shorter) if side == min(size) else side * scale for side in size)
    if max(height, width) > longer:
        limit = longer / max(height, width)
        height, width = height * limit, width * limit
    return max(1, int(height + 0.5)), max(1, int(width + 0.5))


def _per_channel(values: Sequence[float], pixels: Tensor) -> Tensor:
    """Return three values as (3, 1, 1), with the dtype and device of ``pixels``."""
    return constant(tuple(values), pixels)[:, None, None]


def rescale_boxes(boxes: Tensor, from_size: Size, to_size: Size) -> Tensor:
    """Return boxes (B, 4) of an image of ``from_size`` (h, w) in pixels of the same image at ``to_size``."""
    y, x = to_size[0] / from_size[0], to_size[1] / from_size[1]
    return torch.stack([boxes[:, 0::2] * x, boxes[:, 1::2] * y], -1).flatten(1)
