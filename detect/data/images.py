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
from typing import IO, TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from detect.data.image_kinds import AVIF, HEIF, SUFFIXES, SUFFIXES_BY_FORMAT, kind_of_content
from detect.data.orientation import read_orientation, stored_size, turn_upright
from detect.errors import RunError

if TYPE_CHECKING:  # types.py imports torch, which decoding does not need
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


MAX_PIXELS = 178_000_000  # half a gigabyte after decoding
_FORMATS = tuple(name for name in SUFFIXES_BY_FORMAT if name not in ("HEIF", "MPO"))  # MPO is found as a JPEG
_MAX_DARK_GRAY = 64  # of 255: samples of 14 bits in 16 are no brighter
_WHITE_IS_ZERO = 0  # a PhotometricInterpretation of TIFF


def is_image(path: Path) -> bool:
    """Return True if the file name is that of an image.

    ``._a.jpg`` is not: it is the metadata that macOS stores beside a.jpg. Nor is ``a.tif.aux.xml``, GDAL's.
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
        return decode_image(_require_regular_file(path).read_bytes())
    except Exception as error:  # decoders raise almost any exception for damaged bytes
        raise _to_unreadable(path, error) from error


def decode_image(content: bytes) -> np.ndarray:
    """Return the image that ``read_image`` would return of a file with this content.

    Raises UnreadableImage, or what the decoder raises: ``read_image_bytes`` names the content in one line.
    """
    with _open_header(content) as image:
        orientation = read_orientation(image)
        if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L") and is_complete_jpeg(content):
            return turn_upright(_decode_jpeg(content), orientation)
        return _decode(image, orientation)


def read_image_bytes(content: bytes, name: str, max_pixels: int | None = None) -> np.ndarray:
    """Return the image that ``read_image`` would return of a file with this content.

    name: for the message; max_pixels: an image of more is refused by its header, before memory for it is allocated.
    Raises UnreadableImage.
    """
    try:
        if max_pixels is not None:
            with _open_header(content) as image:
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
        rgb = _to_rgb(image)
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
        with _open_header(content) as image:
            header, orientation = _header_of(image)
            if image.format not in ("JPEG", "MPO") or not is_complete_jpeg(content):
                return header, np.asarray(cv2.cvtColor(_decode(image, orientation), cv2.COLOR_RGB2GRAY))
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
        with _require_regular_file(path).open("rb") as stream, _open_header(stream) as image:
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


def _open_header(source: bytes | io.BufferedReader) -> ImageFile.ImageFile:
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


def _decode(image: ImageFile.ImageFile, orientation: int) -> np.ndarray:
    """Decode an image of any Pillow mode: (H, W, 3) uint8 RGB, upright."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.load()
    rgb = _to_rgb(image)
    return rgb if isinstance(image, TiffImageFile) else turn_upright(rgb, orientation)  # Pillow turns a TIFF itself


def _to_rgb(image: Image.Image) -> np.ndarray:
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
