"""Reads image files as upright RGB. A file that cannot be read raises an error that names it."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from detect.data.decoding import decode_image, decode_with_pillow, is_complete_jpeg, open_header, to_rgb
from detect.data.image_kinds import SUFFIXES
from detect.data.orientation import read_orientation, stored_size, turn_upright
from detect.errors import UnreadableImage

if TYPE_CHECKING:  # types.py imports torch, which decoding does not need
    from detect.types import Size

_MAX_DARK_GRAY = 64  # of 255: samples of 14 bits in 16 are no brighter


def is_image(path: Path) -> bool:
    """Return True if the file name is that of an image.

    ``._a.jpg`` is not: it is the metadata that macOS stores beside a.jpg. Nor is ``a.tif.aux.xml``, GDAL's.
    """
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._")


def read_image(path: str | Path) -> np.ndarray:
    """Return the image as (H, W, 3) uint8 RGB, rotated upright by its EXIF orientation.

    16-bit samples are scaled to 8 bits, transparent pixels are blended with white (as image viewers do), CMYK is
    converted, and of several frames the first is returned. Raises UnreadableImage.
    """
    try:
        return decode_image(_require_regular_file(path).read_bytes())
    except Exception as error:  # decoders raise almost any exception for damaged bytes
        raise _to_unreadable(path, error) from error


def read_image_bytes(content: bytes, name: str, max_pixels: int | None = None) -> np.ndarray:
    """Return the image that ``read_image`` would return of a file with this content.

    name: for the message; max_pixels: an image of more is refused by its header, before memory for it is allocated.
    Raises UnreadableImage.
    """
    try:
        if max_pixels is not None:
            with open_header(content) as image:
                if image.width * image.height > max_pixels:
                    raise UnreadableImage(f"{image.width} x {image.height} is more than {max_pixels:,} pixels")
        return decode_image(content)
    except Exception as error:
        raise _to_unreadable(name, error) from error


def pillow_to_rgb(image: Image.Image) -> np.ndarray:
    """Return an image of Pillow as (H, W, 3) uint8 RGB, upright by the EXIF that it has, as ``read_image`` its file.

    Raises UnreadableImage for samples that have no scale (32 bits, floats) and for a file that cannot be decoded.
    """
    try:
        orientation = read_orientation(image)
        image.load()
        rgb = to_rgb(image)
        return rgb if isinstance(image, TiffImageFile) else turn_upright(rgb, orientation)
    except Exception as error:
        raise _to_unreadable(f"PIL image of mode {image.mode}", error) from error


def read_reduced_gray(path: str | Path) -> np.ndarray:
    """Return the image in gray, (h, w) uint8, upright; a JPEG at a quarter of its sides, which is three times as fast.

    This is for comparing images. Damaged files are detected as by ``read_image``. Raises UnreadableImage.
    """
    try:
        content = _require_regular_file(path).read_bytes()
    except Exception as error:
        raise _to_unreadable(path, error) from error
    return read_header_and_gray(path, content)[1]


def read_header_and_gray(path: str | Path, content: bytes) -> tuple[ImageHeader, np.ndarray]:
    """Return what ``read_header`` and ``read_reduced_gray`` return; content: the bytes of the file, opened once."""
    try:
        _require_regular_file(path)
        with open_header(content) as image:
            header, orientation = _header_of(image)
            if image.format not in ("JPEG", "MPO") or not is_complete_jpeg(content):
                return header, np.asarray(cv2.cvtColor(decode_with_pillow(image, orientation), cv2.COLOR_RGB2GRAY))
            flags = cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_IGNORE_ORIENTATION
            gray = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
            if gray is None:
                raise UnreadableImage("damaged JPEG")
            return header, turn_upright(np.asarray(gray), orientation)
    except Exception as error:
        raise _to_unreadable(path, error) from error


def brightest_sample(path: str | Path, gray: np.ndarray) -> int | None:
    """Return the largest sample of an image of 16 bits, 0 to 65535, if it looks dark; else None.

    gray: what ``read_reduced_gray`` returned. Only an image that is dark there is decoded a second time.
    """
    if gray.max(initial=0) > _MAX_DARK_GRAY:
        return None
    try:
        samples = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a kind of TIFF that Pillow alone reads
        return None
    return int(samples.max()) if samples is not None and samples.dtype == np.uint16 else None


@dataclass(frozen=True)
class ImageHeader:
    """The format and size of an image file.

    format: Pillow's name of it ("JPEG"); size: (h, w) upright; transposed: True if the EXIF orientation swaps the rows
    and columns of the file.
    """

    format: str
    size: Size
    transposed: bool


def read_header(path: str | Path) -> ImageHeader:
    """Return the header of an image file, without decoding its pixels. Raises UnreadableImage."""
    try:
        with _require_regular_file(path).open("rb") as stream, open_header(stream) as image:
            return _header_of(image)[0]
    except Exception as error:
        raise _to_unreadable(path, error) from error


def _header_of(image: ImageFile.ImageFile) -> tuple[ImageHeader, int]:
    """Return the header of an image that is not decoded yet, and its EXIF orientation."""
    orientation = read_orientation(image)
    transposed = orientation >= 5
    height, width = stored_size(image)
    return ImageHeader(image.format or "", (width, height) if transposed else (height, width), transposed), orientation


def image_size(path: str | Path) -> Size:
    """Return the (h, w) that ``read_image`` would return, from the file's header alone. Raises UnreadableImage."""
    return read_header(path).size


def _to_unreadable(path: str | Path, error: Exception) -> UnreadableImage:
    """Return the error as an UnreadableImage whose message names the file."""
    if isinstance(error, UnreadableImage):
        return UnreadableImage(f"{path}: {error}")
    if isinstance(error, OSError) and error.strerror:
        return UnreadableImage(f"{path}: cannot be read: {error.strerror}")
    return UnreadableImage(f"{path}: cannot be decoded: {str(error) or type(error).__name__}")


def _require_regular_file(path: str | Path) -> Path:
    """Return the path of a regular file.

    Raises UnreadableImage for anything else, because reading a pipe would wait for ever.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):
        raise UnreadableImage(f"expected an image, found a {'folder' if stat.S_ISDIR(mode) else 'pipe or a device'}")
    try:
        str(path).encode()
    except UnicodeEncodeError:  # a name that no result file could contain
        raise UnreadableImage("expected a name in UTF-8") from None
    return Path(path)
