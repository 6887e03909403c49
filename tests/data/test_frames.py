"""Frames of image files are counted, and those that are not read are said."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import pytest
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from detect.data.frames import count_frames, describe_unread_frames

RED, BLUE, GREEN = (Image.new("RGB", (12, 8), color) for color in ("red", "blue", "green"))
SUBFILE_TYPE, SMALLER_COPY, MASK = 254, 1, 4


def encode(name: str, *frames: Image.Image) -> bytes:
    """Return the bytes of an image file; of copies, as Pillow keeps options of one format for the next."""
    first, *others = (frame.copy() for frame in frames)
    stream = io.BytesIO()
    if others:
        first.save(stream, name, save_all=True, append_images=others)
    else:
        first.save(stream, name)
    return stream.getvalue()


def encode_tiff_with_page(kind: int) -> bytes:
    """Return a TIFF of two pages, of which the second has this NewSubfileType."""
    stream = io.BytesIO()
    with AppendingTiffWriter(stream, new=True) as pages:
        for page, tags in ((RED.copy(), {}), (Image.new("RGB", (6, 4)), {SUBFILE_TYPE: kind})):
            page.save(pages, "TIFF", tiffinfo=tags)
            pages.newFrame()
    return stream.getvalue()


@pytest.mark.parametrize("name", ["BMP", "JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_an_ordinary_image_has_one_frame(name: str) -> None:
    assert count_frames(encode(name, RED)) == 1


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF", "TIFF"])
def test_frames_of_an_animation_or_a_tiff_are_counted(name: str) -> None:
    assert count_frames(encode(name, RED, BLUE, GREEN)) == 3


def test_a_photo_with_a_second_view_is_one_frame() -> None:
    assert count_frames(encode("MPO", RED, BLUE)) == 1


@pytest.mark.parametrize(("kind", "count"), [(0, 2), (SMALLER_COPY, 1), (MASK, 1)])
def test_smaller_copies_and_masks_of_a_tiff_are_not_counted(kind: int, count: int) -> None:
    assert count_frames(encode_tiff_with_page(kind)) == count


@pytest.mark.parametrize(("name", "cut"), [("GIF", 60), ("TIFF", 400)])
def test_frames_of_a_file_that_is_cut_off_are_not_counted(name: str, cut: int) -> None:
    content = encode(name, RED, BLUE, GREEN)
    assert 1 <= count_frames(content[:-cut]) < 3


def test_a_tiff_whose_next_page_lies_outside_the_file_warns_of_nothing() -> None:
    content = encode("TIFF", RED, BLUE)
    (first,) = struct.unpack_from("<I", content, 4)
    (num_tags,) = struct.unpack_from("<H", content, first)
    next_page = first + 2 + 12 * num_tags
    outside = content[:next_page] + struct.pack("<I", len(content) + 1000) + content[next_page + 4 :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert count_frames(outside) == 1


def test_unread_frames_are_said_in_one_line(tmp_path: Path) -> None:
    assert describe_unread_frames([]) is None
    files = {
        "one.tif": encode("TIFF", RED),
        "photo.jpg": encode("JPEG", RED),
        "damaged.gif": b"GIF89a",
        "stack.TIF": encode("TIFF", RED, BLUE),
        "cat.gif": encode("GIF", RED, BLUE),
    }
    images = [tmp_path / name for name in files]
    for image, content in zip(images, files.values(), strict=True):
        image.write_bytes(content)

    assert describe_unread_frames([*images[:3], tmp_path / "gone.tif"]) is None
    assert describe_unread_frames(images[:4]) == (
        f"1 image has several frames, of which only the first is read (as {images[3]}): save each frame as an image"
    )
    line = describe_unread_frames(images)
    assert line is not None
    assert line.startswith("2 images have several frames")
