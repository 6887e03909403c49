"""Decodes the bytes of images to upright RGB.

Ordinary JPEGs are decoded by OpenCV, which is twice as fast as Pillow; all other files are decoded by Pillow, which
knows more formats and color models. OpenCV 4 decodes a truncated JPEG without an error and leaves the rest gray.
Therefore a JPEG without its end marker is left to Pillow, which refuses it.
"""

from __future__ import annotations

import io
import warnings
from typing import IO

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from detect.data.image_kinds import AVIF, HEIF, SUFFIXES_BY_FORMAT, kind_of_content
from detect.data.orientation import read_orientation, turn_upright
from detect.errors import UnreadableImage

MAX_PIXELS = 178_000_000  # half a gigabyte after decoding
_FORMATS = tuple(name for name in SUFFIXES_BY_FORMAT if name not in ("HEIF", "MPO"))  # MPO is found as a JPEG
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"
_WHITE_IS_ZERO = 0  # a PhotometricInterpretation of TIFF


def decode_image(content: bytes) -> np.ndarray:
    """Return the image that ``read_image`` would return of a file with this content.

    Raises UnreadableImage, or what the decoder raises: ``read_image_bytes`` names the content in one line.
    """
    with open_header(content) as image:
        orientation = read_orientation(image)
        if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L") and is_complete_jpeg(content):
            return turn_upright(_decode_jpeg(content), orientation)
        return decode_with_pillow(image, orientation)


def is_complete_jpeg(content: bytes) -> bool:
    """Return True if a JPEG is complete: its markers chain, and an end marker follows the first scan.

    The headers are skipped by their lengths, because an embedded thumbnail has an end marker too. Within a scan 0xFF is
    always followed by a stuffed 0x00 or a restart marker, so the end marker cannot occur by chance (ITU T.81, B.1.1.5).
    """
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == _START_OF_SCAN:
            return content.find(_END_OF_IMAGE, position) >= 0
    return False


def open_header(source: bytes | io.BufferedReader) -> ImageFile.ImageFile:
    """Open an image and read its header only; one that is too large is refused before memory is allocated."""
    if source == b"":
        raise UnreadableImage("the file is empty")
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    with warnings.catch_warnings():
        # Pillow warns at half of MAX_PIXELS, and about damaged metadata, which is not used
        warnings.simplefilter("ignore")
        try:
            image = Image.open(stream, formats=_FORMATS)
        except UnidentifiedImageError:
            image = _open_heif(stream)
        except Image.DecompressionBombError as error:
            raise UnreadableImage(f"more than {MAX_PIXELS // 1_000_000} megapixels") from error
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImage(f"{image.width} x {image.height} is more than {MAX_PIXELS // 1_000_000} megapixels")
    return image


def _open_heif(stream: IO[bytes]) -> ImageFile.ImageFile:
    """Open what Pillow alone does not know with pillow-heif; UnreadableImage names the kind if it is not HEIF."""
    stream.seek(0)
    kind = kind_of_content(stream.read(64))
    if kind is AVIF and kind.is_read:
        raise UnreadableImage("damaged AVIF")
    if kind is not HEIF or not kind.is_read:
        raise UnreadableImage(f"expected an image, found {kind or 'something else'}")
    from pillow_heif import HeifImageFile

    stream.seek(0)
    try:
        image: ImageFile.ImageFile = HeifImageFile(stream)
    except SyntaxError as error:
        raise UnreadableImage(f"damaged HEIC: {error}") from error
    return image


def _decode_jpeg(content: bytes) -> np.ndarray:
    """Decode a complete JPEG with OpenCV: (H, W, 3) uint8 RGB, not yet rotated."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    rgb = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if rgb is None:
        raise UnreadableImage("damaged JPEG")
    return np.asarray(rgb)


def decode_with_pillow(image: ImageFile.ImageFile, orientation: int) -> np.ndarray:
    """Decode an image of any Pillow mode: (H, W, 3) uint8 RGB, upright."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.load()
    rgb = to_rgb(image)
    return rgb if isinstance(image, TiffImageFile) else turn_upright(rgb, orientation)  # Pillow turns a TIFF itself


def to_rgb(image: Image.Image) -> np.ndarray:
    """Return the samples of a decoded image of any Pillow mode as (H, W, 3) uint8 RGB."""
    if image.mode.startswith(("I", "F")):
        return _scale_to_8_bits(image)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _scale_to_8_bits(image: Image.Image) -> np.ndarray:
    """Scale gray samples of 16 bits to (H, W, 3) uint8. Pillow's own conversion would clip them at 255.

    Pillow reads 16 bits of a PGM as 32-bit integers; those of all other images have no known scale, and are refused.
    """
    gray = np.asarray(image)
    if not image.mode.startswith("I;16") and not isinstance(image, PpmImageFile):
        raise UnreadableImage(f"expected 8 or 16 bits a sample, found {gray.dtype} from {gray.min()} to {gray.max()}")
    if isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
        gray = 0xFFFF - gray  # Pillow does so for up to 8 bits
    scaled = np.rint(gray / 257.0).astype(np.uint8)
    return np.repeat(scaled[:, :, None], 3, axis=2)
