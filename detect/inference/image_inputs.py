"""Converts the images that callers pass to RGB: paths, bytes, PIL images, arrays and tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from detect.data.images import pillow_to_rgb, read_image, read_image_bytes
from detect.errors import UserError

ImageLike = str | Path | bytes | np.ndarray | Tensor | Image.Image

_EXPECTED = (
    "expected a path, the bytes of an image file, a PIL image, an RGB array (H, W, 3) or a tensor (3, H, W), found "
)


def to_rgb(image: object) -> np.ndarray:
    """Return an image as (H, W, 3) uint8 RGB.

    image: a path; the bytes of an image file; a PIL image of any mode, turned upright by its EXIF orientation; an array
    (H, W, 3) or, gray, (H, W); a tensor (3, H, W) or, gray, (1, H, W), on any device. Arrays and tensors are of uint8,
    or floats, which are 0..1 if none is above 1 and 0..255 otherwise. Channels are red, green, blue: ``cv2.imread``
    returns the reverse, which nothing here can see. Raises UserError for anything else, and UnreadableImage for a file
    or bytes that cannot be decoded.

    Copies of a PIL image have its EXIF too. One that was turned by ``rotate`` or ``transpose`` keeps it, and is turned
    again: ``ImageOps.exif_transpose`` does not keep it, and ``del image.info["exif"]`` cures the others.
    """
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, bytes | bytearray | memoryview):
        return read_image_bytes(bytes(image), f"{len(image)} bytes")
    if isinstance(image, Image.Image):
        return pillow_to_rgb(image)
    if isinstance(image, Tensor):
        return _of_tensor(image)
    if isinstance(image, np.ndarray):
        return _of_array(image)
    raise UserError(f"image: {_EXPECTED}{type(image).__name__}")


def image_name(image: object) -> str:
    """Return the path of an image that is one, else an empty text."""
    return str(image) if isinstance(image, str | Path) else ""


def _of_tensor(image: Tensor) -> np.ndarray:
    kind = f"{str(image.dtype).removeprefix('torch.')} {tuple(image.shape)}"
    expected = "image: expected a tensor (3, H, W)"
    if image.dim() == 4:
        raise UserError(f"{expected}, found a batch, {kind}: give its images one by one: predict(list(x))")
    if image.dim() == 3 and image.shape[0] not in (1, 3) and image.shape[2] in (1, 3):
        raise UserError(f"{expected}, found {kind}: channels are last: x.permute(2, 0, 1)")
    if image.dim() != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise UserError(f"{expected}, found {kind}")
    pixels = image.detach().to("cpu").permute(1, 2, 0)
    pixels = pixels.to(torch.float32) if pixels.is_floating_point() else pixels
    return _to_uint8(pixels.numpy(), f"a tensor {kind}")


def _of_array(image: np.ndarray) -> np.ndarray:
    kind = f"{image.dtype} {image.shape}"
    expected = "image: expected an RGB array (H, W, 3)"
    if image.ndim == 4:
        raise UserError(f"{expected}, found a batch, {kind}: give its images one by one: predict(list(x))")
    if image.ndim == 3 and image.shape[2] == 4:
        raise UserError(f"{expected}, found 4 channels, {kind}: leave out the transparency: x[:, :, :3]")
    if image.ndim == 3 and image.shape[2] not in (1, 3) and image.shape[0] in (1, 3):
        raise UserError(f"{expected}, found {kind}: channels are first: x.transpose(1, 2, 0)")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or 0 in image.shape:
        raise UserError(f"{expected}, found {kind}")
    return _to_uint8(image if image.ndim == 3 else image[:, :, None], f"an array {kind}")


def _to_uint8(pixels: np.ndarray, kind: str) -> np.ndarray:
    """Return pixels (H, W, 1 or 3) as (H, W, 3) uint8; a gray image has three equal channels."""
    if pixels.dtype != np.uint8:
        if not np.issubdtype(pixels.dtype, np.floating):
            raise UserError(f"image: expected uint8, or floats in 0..1 or 0..255, found {kind}")
        low, high = float(pixels.min()), float(pixels.max())  # NaN, if any is
        if not (low >= 0 and high <= 255):
            raise UserError(
                f"image: expected pixels in 0..1 or 0..255, found {low:.4g} to {high:.4g} in {kind}: "
                "give them as they were before normalization"
            )
        pixels = np.rint(pixels * 255 if high <= 1 else pixels).astype(np.uint8)
    return np.ascontiguousarray(pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2))
