"""How an image file is turned: its EXIF orientation, and its size before it is turned upright."""

from __future__ import annotations

import io
import warnings
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

if TYPE_CHECKING:  # types.py imports torch, which decoding does not need
    from detect.types import Size

_ORIENTATION_TAG = 0x0112
_WIDTH_TAG, _HEIGHT_TAG = 256, 257  # TIFF's


def stored_size(image: ImageFile.ImageFile) -> Size:
    """Return the (h, w) of the rows and columns as the file has them, whatever its orientation.

    From Pillow 11 on the size of a TIFF is that of the upright image, before it is decoded too.
    """
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2[_HEIGHT_TAG]), int(image.tag_v2[_WIDTH_TAG])
    return image.height, image.width


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, of an image; 1 (upright) without a valid one.

    image: a file that is not decoded yet, or a copy of one, which keeps the EXIF that ``exif_transpose`` takes away.
    Only EXIF counts: viewers ignore XMP's orientation. A TIFF is turned by Pillow, by the orientation that it states
    here. HEIC states 1, because its decoder turns it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if isinstance(image, TiffImageFile):
                exif = image.getexif()
            else:
                exif = Image.Exif()
                exif.load(_exif_block(image))
            orientation = exif.get(_ORIENTATION_TAG, 1)
        except Exception:  # damaged metadata, for which Pillow has many errors, does not make the pixels unreadable
            return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and flip pixels (H, W) or (H, W, 3) upright, by an EXIF orientation.

    CIPA DC-008, section 4.6.5, defines where row 0 and column 0 of the stored image lie.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _exif_block(image: Image.Image) -> bytes:
    """Return the EXIF bytes of an image, b"" if it has none.

    In a PNG they may follow the pixels, where Pillow comes to them only by decoding, or be hexadecimal text, as older
    versions of ImageMagick write them.
    """
    if "exif" in image.info:
        return bytes(image.info["exif"])
    if "Raw profile type exif" in image.info:  # an empty line, the name, the length, then the digits
        return bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
    stream = image.fp if isinstance(image, PngImageFile) else None
    return b"" if stream is None else _png_exif(stream)


def _png_exif(stream: IO[bytes]) -> bytes:
    """Return the content of the first chunk eXIf of a PNG, b"" if it has none; the stream stays where it is.

    A chunk has its length, its name, the content and a checksum (PNG, third edition, section 5.3).
    """
    position = stream.tell()
    try:
        stream.seek(8)
        while len(head := stream.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                return stream.read(length)
            stream.seek(length + 4, io.SEEK_CUR)
        return b""
    finally:
        stream.seek(position)
