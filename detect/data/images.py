"""Images from files: upright RGB, whatever the file holds, or an error that names the file.

Ordinary JPEGs are decoded by OpenCV, which is twice as fast as Pillow; everything else goes through Pillow, which
knows more formats and colour models. OpenCV 4 returns a truncated JPEG half grey and says nothing, so a file without
its end marker is left to Pillow, which refuses it.
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

from detect.errors import WorkError
from detect.types import Size

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"


def is_whole(content: bytes) -> bool:
    """True where an end marker follows the first scan; False where it is missing or the markers do not chain.

    The headers are walked by their lengths, as an embedded thumbnail has an end marker too. Within a scan 0xFF is
    always followed by a stuffed 0x00 or a restart marker, so the end marker cannot occur by chance (ITU T.81,
    B.1.1.5).
    """
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN:
            return content.find(_END_OF_IMAGE, at) >= 0
    return False


SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
MAX_PIXELS = 178_000_000  # half a gigabyte once decoded
# Pillow's names. Of its others some run a program to decode: EPS is given to Ghostscript, whatever the file is called.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000")
_ORIENTATION_TAG = 0x0112


def is_image(path: Path) -> bool:
    """Whether a file of a folder is one, by its name: ``._a.jpg`` is what a Mac keeps of a.jpg beside its pixels."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._")


class UnreadableImage(WorkError):  # noqa: N818 - named for what it says
    """An image that cannot be decoded; the message is one line with the file and the reason."""

    def __init__(self, message: str) -> None:
        written = message.encode("utf-8", "backslashreplace").decode()  # a file's name need not be UTF-8, a log is
        super().__init__(" ".join(written.split()))


def read_image(path: str | Path) -> np.ndarray:
    """The image as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    16-bit samples are scaled to 8 bits, transparent pixels are laid on white (as viewers show them), CMYK is
    converted, of several frames the first is taken. Raises UnreadableImage.
    """
    try:
        content = _plain_file(path).read_bytes()
        with _opened(content) as picture:
            plain_jpeg = picture.format in ("JPEG", "MPO") and picture.mode in ("RGB", "L") and is_whole(content)
            rgb = _decode_jpeg(content) if plain_jpeg else _decode(picture)
            return _upright(rgb, _orientation(picture))
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise _unreadable(path, error) from error


def read_reduced_grey(path: str | Path) -> np.ndarray:
    """The image in grey, (h, w) uint8, upright; JPEGs at a quarter of their sides, which is three times as fast.

    For comparing images; damage is seen as by ``read_image``. Raises UnreadableImage.
    """
    try:
        content = _plain_file(path).read_bytes()
        with _opened(content) as picture:
            if picture.format not in ("JPEG", "MPO") or not is_whole(content):
                return np.asarray(cv2.cvtColor(_upright(_decode(picture), _orientation(picture)), cv2.COLOR_RGB2GRAY))
            flags = cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_IGNORE_ORIENTATION
            grey = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
            if grey is None:
                raise UnreadableImage("damaged JPEG")
            return _upright(np.asarray(grey), _orientation(picture))
    except Exception as error:
        raise _unreadable(path, error) from error


@dataclass(frozen=True)
class ImageHeader:
    """format: Pillow's name of it ("JPEG"); size: (h, w) upright; turned: whether the file's own rows are columns."""

    format: str
    size: Size
    turned: bool


def read_header(path: str | Path) -> ImageHeader:
    """What an image's header says. Raises UnreadableImage."""
    try:
        with _plain_file(path).open("rb") as stream, _opened(stream) as picture:
            width, height = picture.size
            turned = _orientation(picture) >= 5
            return ImageHeader(picture.format or "", (width, height) if turned else (height, width), turned)
    except Exception as error:
        raise _unreadable(path, error) from error


def image_size(path: str | Path) -> Size:
    """The (h, w) that ``read_image`` would give, from the file's header alone. Raises UnreadableImage."""
    return read_header(path).size


def _unreadable(path: str | Path, error: Exception) -> UnreadableImage:
    if isinstance(error, UnreadableImage):
        return UnreadableImage(f"{path}: {error}")
    if isinstance(error, OSError) and error.strerror:
        return UnreadableImage(f"{path}: cannot be read: {error.strerror}")
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImage(f"{path}: expected an image, found something else")
    return UnreadableImage(f"{path}: cannot be decoded: {str(error) or type(error).__name__}")


def _plain_file(path: str | Path) -> Path:
    """The path; UnreadableImage for what is no file: the reader of a pipe waits for ever."""
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):
        raise UnreadableImage(f"expected an image, found a {'folder' if stat.S_ISDIR(mode) else 'pipe or a device'}")
    try:
        str(path).encode()
    except UnicodeEncodeError:  # no result file could name it
        raise UnreadableImage("expected a name in UTF-8") from None
    return Path(path)


def _opened(source: bytes | io.BufferedReader) -> Image.Image:
    """The picture with only its header read; too large a one is refused before anything is allocated."""
    if source == b"":
        raise UnreadableImage("the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns at half our limit, and of damaged metadata that we do not use
        try:
            picture = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS)
        except Image.DecompressionBombError as error:
            raise UnreadableImage(f"more than {MAX_PIXELS // 1_000_000} megapixels") from error
    if picture.width * picture.height > MAX_PIXELS:
        raise UnreadableImage(f"{picture.width} x {picture.height} is more than {MAX_PIXELS // 1_000_000} megapixels")
    return picture


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where it is missing or damaged."""
    if "exif" not in picture.info and picture.format in ("JPEG", "MPO"):
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = picture.getexif().get(_ORIENTATION_TAG, 1)
        except (SyntaxError, ValueError, OSError, TypeError):  # damaged metadata does not make the pixels unreadable
            return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation (CIPA DC-008, 4.6.5: where row 0 and column 0 of the stored picture lie)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _decode_jpeg(content: bytes) -> np.ndarray:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    rgb = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if rgb is None:
        raise UnreadableImage("damaged JPEG")
    return np.asarray(rgb)


def _decode(picture: Image.Image) -> np.ndarray:
    """Any mode of Pillow's as RGB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture.load()
    if picture.mode.startswith(("I", "F")):
        return _scaled_to_8_bits(picture)
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return np.array(picture.convert("RGB"))


def _scaled_to_8_bits(picture: Image.Image) -> np.ndarray:
    """Grey of more than 8 bits; Pillow's own conversion would clip it at 255."""
    grey = np.asarray(picture)
    if picture.mode == "F" or grey.min() < 0 or grey.max() > 0xFFFF:
        raise UnreadableImage(f"expected 8 or 16 bits a sample, found {grey.dtype} from {grey.min()} to {grey.max()}")
    scaled = np.rint(grey / 257.0).astype(np.uint8)
    return np.repeat(scaled[:, :, None], 3, axis=2)
