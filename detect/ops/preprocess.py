"""From an image to the network's input, and boxes back again.

The rule is saved with the weights and used by the training loader and by prediction alike, so a model cannot be fed
pixels that it was not trained on.
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

from detect.types import Images, Proposals, Size

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Resizing = Literal["cv2", "float", "pil"]
Channels = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Preprocess:
    """Resize rule and pixel normalisation.

    The shorter side becomes ``min_size`` unless the longer one would pass ``max_size`` (Fast R-CNN, section 5.2).
    mean and std are of RGB in 0..1, whatever ``channels`` are: the order in which the network gets them. Canvas sides
    are multiples of ``divisor``.
    resizing: ``cv2`` rounds sides and colours to whole numbers; ``float`` is torchvision's detectors' way: sides are
    rounded down, colours not at all; ``pil`` is detectron2's: sides and colours are whole, and a pixel of a smaller
    picture is the mean of all that it covers.
    """

    min_size: int = 600
    max_size: int = 1000
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    divisor: int = 32
    resizing: Resizing = "cv2"
    channels: Channels = "rgb"

    def resized(self, size: Size, min_size: int | None = None) -> Size:
        """The (h, w) that an image of ``size`` gets; ``min_size`` overrides the rule's own (multi-scale training)."""
        shorter = min_size or self.min_size
        if self.resizing == "pil":
            return _resized_in_two_steps(size, shorter, self.max_size)
        scale = min(shorter / min(size), self.max_size / max(size))
        whole = round if self.resizing == "cv2" else int
        return max(1, whole(size[0] * scale)), max(1, whole(size[1] * scale))

    def resize(self, rgb: np.ndarray, min_size: int | None = None) -> np.ndarray:
        """(H, W, 3) in 0..255 to its resized size, bilinear, antialiased by ``pil`` alone.

        uint8 stays uint8 with ``cv2`` and ``pil`` and becomes float32 with ``float``; floats stay what they are, and
        ``pil`` takes none.
        """
        height, width = self.resized((rgb.shape[0], rgb.shape[1]), min_size)
        if (height, width) == rgb.shape[:2]:
            return rgb
        if self.resizing == "cv2":
            return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR))
        if self.resizing == "pil":
            return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(rgb if rgb.dtype.kind == "f" else rgb.astype(np.float32)).permute(2, 0, 1)[None]
        resized = functional.interpolate(pixels, (height, width), mode="bilinear", align_corners=False)
        return resized[0].permute(1, 2, 0).numpy()

    def normalise(self, rgb: np.ndarray) -> Tensor:
        """RGB (h, w, 3) in 0..255 to (3, h, w) in the network's order, each channel centred and scaled.

        uint8 becomes float32, floats stay what they are.
        """
        mean, std, pixels = self.mean, self.std, rgb
        if self.channels == "bgr":
            mean, std, pixels = mean[::-1], std[::-1], np.ascontiguousarray(rgb[:, :, ::-1])
        if pixels.dtype.kind == "f":
            floats = torch.from_numpy(pixels).permute(2, 0, 1)
            return (floats / 255 - _by_channel(mean, floats)) / _by_channel(std, floats)
        scale = np.float32(1.0 / 255.0) / np.asarray(std, np.float32)
        shift = np.asarray(mean, np.float32) / np.asarray(std, np.float32)
        table = (np.arange(256, dtype=np.float32)[:, None, None] * scale - shift).astype(np.float32)
        return torch.from_numpy(np.asarray(cv2.LUT(pixels, table))).permute(2, 0, 1)  # six times faster than arithmetic

    def shown(self, pixels: Tensor) -> np.ndarray:
        """The inverse of ``normalise``, for people: (3, h, w) to RGB uint8 (h, w, 3)."""
        picture = pixels.flip(0) if self.channels == "bgr" else pixels
        fractions = picture * _by_channel(self.std, pixels) + _by_channel(self.mean, pixels)
        return np.asarray((fractions * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy())

    def canvas(self, sizes: Sequence[Size]) -> Size:
        """The smallest canvas that holds every size."""
        height, width = (max(size[side] for size in sizes) for side in (0, 1))
        return -(-height // self.divisor) * self.divisor, -(-width // self.divisor) * self.divisor

    def batch(
        self,
        pictures: Sequence[Tensor],
        keys: Sequence[int],
        given: Sequence[Proposals] | None = None,
        canvas: Size | None = None,
    ) -> Images:
        """Normalised pictures (3, h, w) on one canvas; the padding is 0, the mean colour."""
        sizes = tuple((int(picture.shape[1]), int(picture.shape[2])) for picture in pictures)
        height, width = canvas or self.canvas(sizes)
        dtype = pictures[0].dtype if pictures else torch.float32
        pixels = torch.zeros(len(pictures), height, width, 3, dtype=dtype).permute(0, 3, 1, 2)  # channels last
        for slot, picture in zip(pixels, pictures, strict=True):
            slot[:, : picture.shape[1], : picture.shape[2]] = picture
        return Images(pixels, sizes, tuple(keys), None if given is None else tuple(given))


def on_canvas(images: Images, height: int, width: int) -> Images:
    """The same images on a canvas that is as large or larger."""
    more = (height - int(images.pixels.shape[2]), width - int(images.pixels.shape[3]))
    if more == (0, 0):
        return images
    return replace(images, pixels=functional.pad(images.pixels, (0, more[1], 0, more[0])))


def _resized_in_two_steps(size: Size, shorter: int, longer: int) -> Size:
    """detectron2's arithmetic, halves rounded up: the shorter side becomes ``shorter``, then the longer is limited."""
    scale = shorter / min(size)
    height, width = (float(shorter) if side == min(size) else side * scale for side in size)
    if max(height, width) > longer:
        limit = longer / max(height, width)
        height, width = height * limit, width * limit
    return max(1, int(height + 0.5)), max(1, int(width + 0.5))


def _by_channel(values: Sequence[float], pixels: Tensor) -> Tensor:
    return pixels.new_tensor(values)[:, None, None]


def rescale_boxes(boxes: Tensor, found: Size, wanted: Size) -> Tensor:
    """Boxes (B, 4) of a picture of size ``found``, in the pixels of the same picture at size ``wanted``."""
    y, x = wanted[0] / found[0], wanted[1] / found[1]
    return boxes * boxes.new_tensor([x, y, x, y])
