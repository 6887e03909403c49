"""Counts the frames of an image file: the pages of a TIFF, the pictures of an animation. Only the first one is read."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

from PIL.TiffImagePlugin import TiffImageFile

from detect.data.decoding import open_header
from detect.data.image_kinds import SUFFIXES_BY_FORMAT

# A JPEG of several pictures (MPO) is not among them: it is one photo, with its second view or its map of depths.
_FORMATS = ("TIFF", "GIF", "WEBP", "PNG", "AVIF")
_SUFFIXES = frozenset(suffix for name in _FORMATS for suffix in SUFFIXES_BY_FORMAT.get(name, ())) - {".png"}
_SUBFILE_TYPE = 254  # a tag of TIFF
_SMALLER_COPY, _MASK = 1, 4  # bits of it: a page that shows the first one again, or what of it is transparent


def count_frames(source: bytes | io.BufferedReader) -> int:
    """Return the number of frames of an image file, at least 1.

    source: its content, or the open file. Pages of a TIFF that are smaller copies or masks of another are not counted,
    nor frames from a damaged one on. Raises UnreadableImage for a file without a header that can be read.
    """
    with open_header(source) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about damaged frames, without the name of the file
        if isinstance(image, TiffImageFile):
            return max(_count_pages(image), 1)
        try:
            return int(getattr(image, "n_frames", 1)) if image.format in _FORMATS else 1
        except Exception:  # decoders raise almost any exception for damaged bytes
            return 1


def _count_pages(image: TiffImageFile) -> int:
    count = page = 0
    while _has_page(image, page):
        kind = image.tag_v2.get(_SUBFILE_TYPE, 0)
        count += not (isinstance(kind, int) and kind & (_SMALLER_COPY | _MASK))
        page += 1
    return count


def _has_page(image: TiffImageFile, page: int) -> bool:
    """Return True if a TIFF has this page, from 0, to which it is then set."""
    try:
        image.seek(page)
    except Exception:  # EOFError after the last page; decoders raise almost any exception for damaged bytes
        return False
    return True


def describe_unread_frames(images: Iterable[Path]) -> str | None:
    """Return the line that counts the images of several frames, of which only the first is read; None for none.

    Only files with a suffix that can have several are opened, and one that cannot be read is left out.
    """
    several = [image for image in images if image.suffix.lower() in _SUFFIXES and _has_several(image)]
    if not several:
        return None
    count = "1 image has" if len(several) == 1 else f"{len(several)} images have"
    return f"{count} several frames, of which only the first is read (as {several[0]}): save each frame as an image"


def _has_several(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return count_frames(stream) > 1
    except Exception:  # decoders raise almost any exception; the file was named when it was read
        return False
