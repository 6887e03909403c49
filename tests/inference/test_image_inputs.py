from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps, PngImagePlugin

from detect.data.images import read_image
from detect.errors import UnreadableImage, UserError
from detect.inference.image_inputs import to_rgb

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
FRACTIONS = RGB.astype(np.float32) / 255
CHANNELS_FIRST = torch.from_numpy(RGB).permute(2, 0, 1)


def png(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "image",
    [
        RGB,
        FRACTIONS,
        RGB.astype(np.float64),
        CHANNELS_FIRST,
        CHANNELS_FIRST.float() / 255,
        CHANNELS_FIRST.float(),
        CHANNELS_FIRST.double() / 255,
        Image.fromarray(RGB),
        png(Image.fromarray(RGB)),
        bytearray(png(Image.fromarray(RGB))),
    ],
    ids=lambda image: type(image).__name__,
)
def test_every_kind_of_the_same_image_gives_the_same_pixels(image):
    assert to_rgb(image).dtype == np.uint8
    assert np.array_equal(to_rgb(image), RGB)


@pytest.mark.parametrize("image", [RGB[:, :, 0], RGB[:, :, :1], CHANNELS_FIRST[:1], Image.fromarray(RGB[:, :, 0])])
def test_gray_has_three_equal_channels(image):
    assert np.array_equal(to_rgb(image), RGB[:, :, :1].repeat(3, axis=2))


def test_black_is_black_in_every_range():
    assert not to_rgb(np.zeros((2, 2, 3))).any()
    assert not to_rgb(torch.zeros(3, 2, 2)).any()


def test_a_pil_image_is_turned_and_blended_as_its_file_is(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.dstack([RGB, RGB[:, :, 0]]), "RGBA")
    (tmp_path / "a.png").write_bytes(png(image, exif=exif))
    with Image.open(tmp_path / "a.png") as opened:
        assert np.array_equal(to_rgb(opened), read_image(tmp_path / "a.png"))
    assert to_rgb(str(tmp_path / "a.png")).shape == (8, 6, 3)


def raw_profile(exif: Image.Exif) -> PngImagePlugin.PngInfo:
    """EXIF as hexadecimal text, as older versions of ImageMagick write it."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes())}\n{exif.tobytes().hex()}\n")
    return info


@pytest.mark.parametrize("format_", ["PNG", "PNG with text", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image.copy(),
        lambda image: image.convert("RGB"),
        lambda image: image.convert("RGB").copy(),
        ImageOps.exif_transpose,
        lambda image: ImageOps.exif_transpose(image.convert("RGB")),
    ],
    ids=["opened", "copy", "convert", "convert, copy", "exif_transpose", "convert, exif_transpose"],
)
def test_a_pil_image_with_an_orientation_is_turned_once(
    change: Callable[[Image.Image], Image.Image], format_: str, tmp_path: Path
):
    exif, file = Image.Exif(), tmp_path / "a"
    exif[0x0112] = 6
    options = {"pnginfo": raw_profile(exif)} if format_ == "PNG with text" else {"exif": exif, "lossless": True}
    Image.fromarray(RGB).save(file, format_.partition(" ")[0], **options)
    with Image.open(file) as opened:
        assert np.array_equal(to_rgb(change(opened)), np.rot90(RGB, -1))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "found NoneType"),
        (3, "expected a path, the bytes of an image file, a PIL image"),
        (np.zeros((2, 6, 8, 3), np.uint8), "found a batch, uint8 (2, 6, 8, 3): give its images one by one"),
        (torch.zeros(2, 3, 6, 8), "found a batch, float32 (2, 3, 6, 8)"),
        (np.zeros((6, 8, 4), np.uint8), "found 4 channels, uint8 (6, 8, 4): leave out the transparency"),
        (np.zeros((3, 6, 8), np.uint8), "channels are first: x.transpose(1, 2, 0)"),
        (torch.zeros(6, 8, 3), "channels are last: x.permute(2, 0, 1)"),
        (np.zeros((0, 8, 3), np.uint8), "found uint8 (0, 8, 3)"),
        (np.zeros((6, 8, 3), np.int64), "expected uint8, or floats in 0..1 or 0..255, found an array int64"),
        (torch.zeros(3, 6, 8) - 2, "found -2 to -2 in a tensor float32 (3, 6, 8): give them as they were before"),
        (torch.full((3, 6, 8), torch.nan), "found nan to nan"),
    ],
)
def test_other_things_are_refused_in_one_line(image, words):
    with pytest.raises(UserError, match=re.escape(words)) as raised:
        to_rgb(image)
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_image_are_unreadable():
    with pytest.raises(UnreadableImage, match=r"^4 bytes: expected an image"):
        to_rgb(b"text")
