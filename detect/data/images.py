"""Reads image files as upright RGB. A file that cannot be read raises an error that names it.

Ordinary JPEGs are decoded by OpenCV, which is twice as fast as Pillow; all other files are decoded by Pillow, which
knows more formats and color models. OpenCV 4 decodes a truncated JPEG without an error and leaves the rest gray.
Therefore a JPEG without its end marker is left to Pillow, which refuses it.
"""

from __future__ import annotations

import io
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from detect.errors import RunError
from detect.types import Size

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"


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


SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
MAX_PIXELS = 178_000_000  # half a gigabyte after decoding
# Pillow's names. Some of its other formats run a program to decode: it passes EPS to Ghostscript, whatever the suffix.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000")
_ORIENTATION_TAG = 0x0112


def is_image(path: Path) -> bool:
    """Return True if the file name is that of an image.

    ``._a.jpg`` is not: it is the metadata that macOS stores beside a.jpg.
    """
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._")


class UnreadableImage(RunError):  # noqa: N818 - the name states the problem
    """An image that cannot be decoded. The message is one line with the file and the reason."""

    def __init__(self, message: str) -> None:
        printable = message.encode(
            "utf-8", "backslashreplace"
        ).decode()  # a file name need not be UTF-8, but a log file is
        super().__init__(" ".join(printable.split()))


def read_image(path: str | Path) -> np.ndarray:
    """Return the image as (H, W, 3) uint8 RGB, rotated upright by its EXIF orientation.

    16-bit samples are scaled to 8 bits, transparent pixels are blended with white (as image viewers do), CMYK is
    converted, and of several frames the first is returned. Raises UnreadableImage.
    """
    try:
        content = _require_regular_file(path).read_bytes()
        with _open_header(content) as image:
            opencv_decodes = (
                image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L") and is_complete_jpeg(content)
            )
            rgb = _decode_jpeg(content) if opencv_decodes else _decode(image)
            return _apply_orientation(rgb, _orientation(image))
    except Exception as error:  # decoders raise almost any exception for damaged bytes
        raise _to_unreadable(path, error) from error


def read_reduced_gray(path: str | Path) -> np.ndarray:
    """Return the image in gray, (h, w) uint8, upright; a JPEG at a quarter of its sides, which is three times as fast.

    This is for comparing images. Damaged files are detected as by ``read_image``. Raises UnreadableImage.
    """
    try:
        content = _require_regular_file(path).read_bytes()
        with _open_header(content) as image:
            if image.format not in ("JPEG", "MPO") or not is_complete_jpeg(content):
                return np.asarray(
                    cv2.cvtColor(_apply_orientation(_decode(image), _orientation(image)), cv2.COLOR_RGB2GRAY)
                )
            flags = cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_IGNORE_ORIENTATION
            gray = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
            if gray is None:
                raise UnreadableImage("damaged JPEG")
            return _apply_orientation(np.asarray(gray), _orientation(image))
    except Exception as error:
        raise _to_unreadable(path, error) from error


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
        with _require_regular_file(path).open("rb") as stream, _open_header(stream) as image:
            width, height = image.size
            transposed = _orientation(image) >= 5
            return ImageHeader(image.format or "", (width, height) if transposed else (height, width), transposed)
    except Exception as error:
        raise _to_unreadable(path, error) from error


def image_size(path: str | Path) -> Size:
    """Return the (h, w) that ``read_image`` would return, from the file's header alone. Raises UnreadableImage."""
    return read_header(path).size


def _to_unreadable(path: str | Path, error: Exception) -> UnreadableImage:
    """Return the error as an UnreadableImage whose message names the file."""
    if isinstance(error, UnreadableImage):
        return UnreadableImage(f"{path}: {error}")
    if isinstance(error, OSError) and error.strerror:
        return UnreadableImage(f"{path}: cannot be read: {error.strerror}")
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImage(f"{path}: expected an image, found something else")
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


def _open_header(source: bytes | io.BufferedReader) -> Image.Image:
    """Open an image and read its header only; one that is too large is refused before memory is allocated."""
    if source == b"":
        raise UnreadableImage("the file is empty")
    with warnings.catch_warnings():
        # Pillow warns at half of MAX_PIXELS, and about damaged metadata, which is not used
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS)
        except Image.DecompressionBombError as error:
            raise UnreadableImage(f"more than {MAX_PIXELS // 1_000_000} megapixels") from error
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImage(f"{image.width} x {image.height} is more than {MAX_PIXELS // 1_000_000} megapixels")
    return image


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) where it is missing or damaged."""
    if "exif" not in image.info and image.format in ("JPEG", "MPO"):
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        except (SyntaxError, ValueError, OSError, TypeError):  # damaged metadata does not make the pixels unreadable
            return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _apply_orientation(pixels: np.ndarray, orientation: int) -> np.ndarray:
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


def _decode_jpeg(content: bytes) -> np.ndarray:
    """Decode a complete JPEG with OpenCV: (H, W, 3) uint8 RGB, not yet rotated."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    rgb = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if rgb is None:
        raise UnreadableImage("damaged JPEG")
    return np.asarray(rgb)


def _decode(image: Image.Image) -> np.ndarray:
    """Decode an image of any Pillow mode: (H, W, 3) uint8 RGB, not yet rotated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.load()
    if image.mode.startswith(("I", "F")):
        return _scale_to_8_bits(image)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _scale_to_8_bits(image: Image.Image) -> np.ndarray:
    """Scale gray samples of more than 8 bits to (H, W, 3) uint8. Pillow's own conversion would clip them at 255."""
    gray = np.asarray(image)
    if image.mode == "F" or gray.min() < 0 or gray.max() > 0xFFFF:
        raise UnreadableImage(f"expected 8 or 16 bits a sample, found {gray.dtype} from {gray.min()} to {gray.max()}")
    scaled = np.rint(gray / 257.0).astype(np.uint8)
    return np.repeat(scaled[:, :, None], 3, axis=2)
