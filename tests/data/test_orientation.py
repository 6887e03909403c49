"""Tests that the header, the pixels and the reduced pixels of an image agree, in every format and orientation."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from detect.data.image_kinds import AVIF, HEIF
from detect.data.images import (
    brightest_sample,
    image_size,
    read_header,
    read_header_and_gray,
    read_image,
    read_reduced_gray,
)
from detect.errors import UnreadableImage

MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "MPO": ("L", "RGB"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB", "I;16"),
    "JPEG2000": ("L", "RGB"),
    **({"AVIF": ("RGB", "RGBA")} if AVIF.is_read else {}),
}
WITHOUT_EXIF = ("GIF", "BMP", "PPM", "JPEG2000")
LOSSY = ("JPEG", "MPO", "AVIF")
OPTIONS: dict[str, dict[str, object]] = {
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 95},
    "AVIF": {"quality": 95},
    "MPO": {"quality": 95},
}
CASES = [(name, mode) for name, modes in MODES.items() for mode in modes]
PNG_PLACES = ("first", "last", "text")
TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")


def stored_pixels(height: int, width: int, mode: str = "L") -> np.ndarray:
    """A smooth image (h, w) uint8 that looks different in all eight orientations; black and white in the mode 1."""
    y, x = np.mgrid[:height, :width]
    gray = np.rint(250 * (2 * y / max(height - 1, 1) + x / max(width - 1, 1)) / 3)
    return np.where(gray > 99, 255, 0).astype(np.uint8) if mode == "1" else gray.astype(np.uint8)


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels (h, w) by the definition of each orientation in CIPA DC-008, one pixel at a time."""
    height, width = stored.shape
    source = {
        1: lambda y, x: (y, x),
        2: lambda y, x: (y, width - 1 - x),
        3: lambda y, x: (height - 1 - y, width - 1 - x),
        4: lambda y, x: (height - 1 - y, x),
        5: lambda y, x: (x, y),
        6: lambda y, x: (height - 1 - x, y),
        7: lambda y, x: (height - 1 - x, width - 1 - y),
        8: lambda y, x: (x, width - 1 - y),
    }[orientation]
    rows, columns = (width, height) if orientation >= 5 else (height, width)
    return np.array([[stored[source(y, x)] for x in range(columns)] for y in range(rows)], np.uint8)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(image: Image.Image, exif: bytes, place: str) -> bytes:
    """A PNG with its EXIF before or after the pixels, or as text."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    content = stream.getvalue()
    head, pixels, end = content[:33], content[33:-12], content[-12:]
    if place == "text":
        digits = f"\nexif\n{len(exif):8}\n{exif.hex()}\n".encode()
        return head + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(digits)) + pixels + end
    block = chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    return head + block + pixels + end if place == "first" else head + pixels + block + end


def encode(name: str, mode: str, stored: np.ndarray, orientation: int, place: str, compression: str) -> bytes:
    """An image file of a format and a mode with these stored pixels and this orientation."""
    samples = stored.astype(np.int32 if name == "PPM" else np.uint16) * 257 if mode == "I;16" else stored
    image = Image.fromarray(samples) if mode == "I;16" else Image.fromarray(samples).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if name == "PNG":
        return png(image, exif.tobytes(), place)
    stream = io.BytesIO()
    options = dict(OPTIONS.get(name, {}))
    if name not in WITHOUT_EXIF:
        options["exif"] = exif
    if name == "TIFF":
        options["compression"] = compression
    if name == "MPO":
        options |= {"save_all": True, "append_images": [image]}
    image.save(stream, name, **options)
    return stream.getvalue()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=st.sampled_from(CASES),
    orientation=st.integers(1, 8),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    place=st.sampled_from(PNG_PLACES),
    compression=st.sampled_from(TIFF_COMPRESSIONS),
)
@example(case=("TIFF", "RGB"), orientation=6, size=(48, 64), place="first", compression="raw")
@example(case=("TIFF", "I;16"), orientation=8, size=(3, 9), place="first", compression="tiff_lzw")
@example(case=("PNG", "RGB"), orientation=6, size=(30, 50), place="last", compression="raw")
def test_header_pixels_and_reduced_pixels_agree(
    tmp_path: Path, case: tuple[str, str], orientation: int, size: tuple[int, int], place: str, compression: str
) -> None:
    name, mode = case
    stored = stored_pixels(*size, mode)
    path = tmp_path / "image"
    path.write_bytes(encode(name, mode, stored, orientation, place, compression))
    expected = upright(stored, 1 if name in WITHOUT_EXIF else orientation)

    header, pixels, gray = read_header(path), read_image(path), read_reduced_gray(path)

    both = read_header_and_gray(path, path.read_bytes())
    assert both[0] == header
    assert np.array_equal(both[1], gray)
    assert header.size == image_size(path) == pixels.shape[:2] == expected.shape
    assert header.transposed == (orientation >= 5 and name not in WITHOUT_EXIF)
    assert gray.shape in (expected.shape, tuple(-(-side // 4) for side in expected.shape))
    tolerance = 12 if name in LOSSY or mode == "P" else 1
    assert np.abs(pixels.astype(int) - expected[:, :, None]).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_every_format_in_every_orientation(tmp_path: Path, name: str, mode: str, orientation: int) -> None:
    stored = stored_pixels(24, 40, mode)
    path = tmp_path / "image"
    path.write_bytes(encode(name, mode, stored, orientation, "first", "raw"))
    expected = upright(stored, 1 if name in WITHOUT_EXIF else orientation)
    assert image_size(path) == read_image(path).shape[:2] == expected.shape
    assert np.abs(read_reduced_gray(path)[-1, -1].astype(int) - expected[-1, -1]) <= 24


def test_header_of_a_png_needs_no_pixels(tmp_path: Path) -> None:
    content = encode("PNG", "RGB", stored_pixels(40, 60), 6, "first", "raw")
    (tmp_path / "whole.png").write_bytes(content)
    (tmp_path / "cut.png").write_bytes(content[:-60])
    assert image_size(tmp_path / "cut.png") == image_size(tmp_path / "whole.png") == (60, 40)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"II*\0\xff\xff\xff\xff", b"\xff" * 40, b"MM"])
@pytest.mark.parametrize("place", PNG_PLACES)
def test_damaged_exif_leaves_the_image_as_it_is(tmp_path: Path, exif: bytes, place: str) -> None:
    stored = stored_pixels(9, 7)
    (tmp_path / "a.png").write_bytes(png(Image.fromarray(stored), exif, place))
    assert image_size(tmp_path / "a.png") == (9, 7)
    assert read_image(tmp_path / "a.png")[:, :, 0].tolist() == stored.tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_by_its_decoder_alone(tmp_path: Path, orientation: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    stored, exif = stored_pixels(64, 128), Image.Exif()
    exif[0x0112] = orientation
    picture = pillow_heif.from_pillow(Image.fromarray(stored).convert("RGB"))
    picture.save(tmp_path / "a.heic", exif=exif.tobytes(), quality=95)
    expected = upright(stored, orientation)
    assert image_size(tmp_path / "a.heic") == read_reduced_gray(tmp_path / "a.heic").shape == expected.shape
    assert np.abs(read_image(tmp_path / "a.heic").astype(int) - expected[:, :, None]).max() <= 20


def test_damaged_heic_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(UnreadableImage, match="damaged HEIC" if HEIF.is_read else r"found HEIC, which needs .*pip"):
        read_image(tmp_path / "a.heic")


@pytest.mark.parametrize("read", [read_image, image_size, read_reduced_gray])
def test_a_video_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isomiso2")
    with pytest.raises(UnreadableImage, match=r"a\.jpg: expected an image, found a video, which `detect"):
        read(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("peak", "mode", "expected"),
    [(0, "I;16", 0), (4095, "I;16", 4095), (16383, "I;16", 16383), (65535, "I;16", None), (50, "L", None)],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_brightest_sample_of_a_dark_image_of_16_bits(
    tmp_path: Path, peak: int, mode: str, expected: int | None, suffix: str
) -> None:
    samples = np.zeros((9, 8), np.uint16 if mode == "I;16" else np.uint8)
    samples[4:8, 3:6] = peak
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(samples).save(path)
    assert brightest_sample(path, read_reduced_gray(path)) == expected


def test_brightest_sample_of_color_is_that_of_its_brightest_channel(tmp_path: Path) -> None:
    bgr = np.zeros((9, 8, 3), np.uint16)
    bgr[..., 0] = 60_000
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    assert brightest_sample(tmp_path / "a.png", read_reduced_gray(tmp_path / "a.png")) == 60_000
