"""Counts the frames of an image file: the pages of a TIFF, the pictures of an animation. Only the first one is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from PIL import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from detect.data.decoding import open_header
from detect.data.image_kinds import SUFFIXES_BY_FORMAT

# A JPEG of several pictures (MPO) is not among them: it is one photo, with its second view or its map of depths.
_FORMATS = ("TIFF", "GIF", "WEBP", "PNG", "AVIF")
_SUFFIXES = frozenset(suffix for name in _FORMATS for suffix in SUFFIXES_BY_FORMAT.get(name, ())) - {".png"}
_SUBFILE_TYPE = 254  # a tag of TIFF
_SMALLER_COPY, _MASK = 1, 4  # bits of it: a page that shows the first one again, or what of it is transparent


def count_frames(content: bytes) -> int:
    """Return the number of frames of an image file with this content, at least 1; see ``frames_of``."""
    with open_header(content) as image:
        return frames_of(image)


def frames_of(image: ImageFile.ImageFile) -> int:
    """Return the number of frames of an open image, at least 1.

    Pages of a TIFF that are smaller copies or masks of another are not counted, nor frames from a damaged one on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about damaged frames, without the name of the file
        if isinstance(image, TiffImageFile):
            return max(_count_pages(image), 1)
        try:
            return int(getattr(image, "n_frames", 1)) if image.format in _FORMATS else 1
        except Exception:  # decoders raise almost any exception for damaged bytes
            return 1


def _count_pages(image: TiffImageFile) -> int:
    count = page = 0
    try:
        while True:
            image.seek(page)
            count += not image.tag_v2.get(_SUBFILE_TYPE, 0) & (_SMALLER_COPY | _MASK)
            page += 1
    except Exception:  # EOFError after the last page; decoders raise almost any exception for damaged bytes
        return count


def describe_unread_frames(images: Iterable[Path]) -> str | None:
    """Return the line that counts the images of several frames, of which only the first is read; None for none.

    Only files with a suffix that can have several are opened, and one that cannot be read is left out.
    """
    found = [image for image in images if image.suffix.lower() in _SUFFIXES and _has_several(image)]
    if not found:
        return None
    count = "1 image has" if len(found) == 1 else f"{len(found)} images have"
    return f"{count} several frames, of which only the first is read (as {found[0]}): save each frame as an image"


def _has_several(path: Path) -> bool:
    try:
        with path.open("rb") as stream, open_header(stream) as image:
            return frames_of(image) > 1
    except Exception:  # what was named as unreadable before
        return False
