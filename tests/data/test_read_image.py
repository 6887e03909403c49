from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from detect.data.decoding import is_complete_jpeg
from detect.data.images import image_size, pillow_to_rgb, read_image
from detect.errors import UnreadableImage


def gradient(height: int = 30, width: int = 50) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 5, y * 8, 255 - x * 5], axis=2).astype(np.uint8)


def jpeg(**options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(gradient()).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def test_read_image_of_jpeg_agrees_with_pillow(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg())
    expected = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
    assert np.abs(read_image(path).astype(int) - expected).max() <= 3
    assert image_size(path) == (30, 50)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_read_image_applies_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    path, exif = tmp_path / f"a{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    pixels = read_image(path)
    assert pixels.shape == expected.shape
    assert pixels.flags.c_contiguous
    assert np.abs(pixels.astype(int) - expected).max() <= 3
    assert image_size(path) == expected.shape[:2]


GRAY = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize(
    ("image", "suffix", "expected"),
    [
        (Image.fromarray(GRAY), ".png", GRAY),
        (Image.fromarray(GRAY), ".jpg", GRAY),
        (Image.fromarray(GRAY.astype(np.uint16) * 257), ".png", GRAY),
        (Image.fromarray(GRAY.astype(np.uint16) * 257), ".tif", GRAY),
        (Image.fromarray(GRAY > 99), ".png", (GRAY > 99) * 255),
        (Image.fromarray(gradient()).quantize(256).convert("P"), ".png", None),
        (Image.fromarray(GRAY).convert("CMYK"), ".tif", GRAY),
    ],
    ids=["gray", "gray jpeg", "16 bits", "16 bits tiff", "1 bit", "palette", "cmyk"],
)
def test_read_image_of_any_mode_gives_rgb(
    tmp_path: Path, image: Image.Image, suffix: str, expected: np.ndarray | None
) -> None:
    path = tmp_path / f"a{suffix}"
    image.save(path)
    expected = (
        np.asarray(image.convert("RGB")) if expected is None else np.repeat(np.asarray(expected)[:, :, None], 3, 2)
    )
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= 4


def tiff(samples: np.ndarray, photometric: int) -> bytes:
    """Return a gray TIFF: photometric 0 for white is zero, 1 for black is zero."""
    height, width = samples.shape
    tags = {256: width, 257: height, 258: samples.itemsize * 8, 259: 1, 262: photometric, 277: 1, 278: height}
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags |= {273: start, 279: samples.nbytes}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + samples.tobytes()


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [8, 16])
def test_read_image_of_a_tiff_in_which_white_is_zero(tmp_path: Path, photometric: int, bits: int) -> None:
    gray = GRAY if photometric == 1 else 255 - GRAY
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(gray if bits == 8 else gray.astype("<u2") * 257, photometric))
    assert np.array_equal(read_image(path)[:, :, 0], GRAY)


@pytest.mark.parametrize("largest", [255, 1023, 65535])
def test_read_image_scales_a_pgm_by_its_largest_value(tmp_path: Path, largest: int) -> None:
    samples = np.array([[0, largest]], dtype=np.uint8 if largest == 255 else ">u2")
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 2 1 %d\n" % largest + samples.tobytes())
    assert read_image(path)[:, :, 0].tolist() == [[0, 255]]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize("largest", [255, 65535, 70000])
def test_read_image_refuses_gray_of_32_bits(tmp_path: Path, dtype: type, largest: int) -> None:
    image = Image.fromarray(np.array([[0, largest]], dtype=dtype))
    image.save(tmp_path / "a.tif")
    message = "expected 8 or 16 bits a sample, found .*32 from 0"
    with pytest.raises(UnreadableImage, match=message):
        read_image(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match=message):
        pillow_to_rgb(image)


def test_read_image_does_not_invert_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient()).convert("CMYK").save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - gradient()).mean() < 6


@pytest.mark.parametrize(("alpha", "expected"), [(255, 10), (0, 255), (51, 206)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_read_image_blends_transparent_pixels_with_white(tmp_path: Path, alpha: int, expected: int, mode: str) -> None:
    path = tmp_path / "a.png"
    image = Image.new("L", (4, 3), 10).convert(mode)
    image.putalpha(alpha)
    image.save(path)
    assert np.abs(read_image(path).astype(int) - expected).max() <= 1


def test_read_image_blends_transparent_palette_entry_with_white(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    image = Image.new("P", (4, 3), 1)
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.putpixel((0, 0), 0)
    image.save(path, transparency=1)
    assert read_image(path)[0, 0].tolist() == [0, 0, 0]
    assert read_image(path)[1, 1].tolist() == [255, 255, 255]


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


WITH_THUMBNAIL = b"\xff\xd8\xff\xe1" + struct.pack(">H", 2 + len(jpeg())) + jpeg()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello", "expected an image"),
        (jpeg()[:-50], "truncated"),
        (jpeg(progressive=True)[:-400], "truncated"),
        (WITH_THUMBNAIL + jpeg()[2:-50], "truncated"),
        (jpeg()[:100], "cannot be decoded"),
        (png_header(100_000, 100_000), "megapixels"),
        (png_header(13_400, 13_400), "megapixels"),
        (png_header(20, 20), "cannot be decoded"),
    ],
    ids=["empty", "text", "cut", "cut progressive", "cut with thumbnail", "cut header", "huge", "large", "cut png"],
)
def test_read_image_of_damaged_file_names_file_and_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage) as raised:
        read_image(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert reason in str(raised.value).lower()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("read", [read_image, image_size])
def test_read_image_of_missing_file_fails(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(UnreadableImage, match=r"nothing\.jpg: cannot be read: No such file"):
        read(tmp_path / "nothing.jpg")


@pytest.mark.parametrize(
    ("content", "complete"),
    [
        (b"", False),
        (jpeg(), True),
        (jpeg() + b"rubbish", True),
        (jpeg()[:-2], False),
        (WITH_THUMBNAIL + jpeg()[2:], True),
        (WITH_THUMBNAIL + jpeg()[2:-2], False),
        (jpeg(progressive=True), True),
    ],
)
def test_is_complete_jpeg(content: bytes, complete: bool) -> None:
    assert is_complete_jpeg(content) is complete
