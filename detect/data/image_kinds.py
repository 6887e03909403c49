"""The kinds of image files: which suffixes and formats are read, and what helps where one is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType

from PIL import features

HAS_AVIF = "avif" in features.modules and features.check_module("avif")  # in Pillow's own packages since 11.3
HAS_HEIF = find_spec("pillow_heif") is not None

# By Pillow's names. Pillow has other formats, but some run a program to decode: EPS goes to Ghostscript.
_SUFFIXES_BY_FORMAT = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo", ".jpg", ".jpeg", ".jpe", ".jfif"),  # a JPEG that others follow: a stereo pair, a depth map
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "DIB": (".dib", ".bmp"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_VIDEO_STARTS = (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"FLV\x01", b"0&\xb2u", b"OggS")


@dataclass(frozen=True)
class PictureKind:
    """A kind of file that shows pictures and is read with a further package only, or not at all.

    name: with its article, and why it is not read; cure: what the user can do; suffixes: in lower case.
    """

    name: str
    cure: str
    suffixes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.cure}"

    @property
    def is_read(self) -> bool:
        """Return True if this installation reads these files."""
        return self.suffixes[0] in SUFFIXES


VIDEO = PictureKind(
    name="a video, which `detect predict` reads where it is named alone",
    cure="extract its frames: mkdir frames && ffmpeg -i VIDEO frames/%06d.png",
    suffixes=(
        *(".mp4", ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mpeg", ".mpg", ".mts", ".ogv"),
        *(".webm", ".wmv"),
    ),
)
HEIF = PictureKind(
    name="HEIC, which needs the package pillow-heif",
    cure="pip install 'detect-rcnn[heif]'",
    suffixes=(".heic", ".heics", ".heif", ".heifs", ".hif"),
)
AVIF = PictureKind(
    name="AVIF, which needs Pillow 11.3 or later",
    cure="pip install --upgrade pillow",
    suffixes=(".avif", ".avifs"),
)

SUFFIXES_BY_FORMAT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    _SUFFIXES_BY_FORMAT | ({"AVIF": AVIF.suffixes} if HAS_AVIF else {}) | ({"HEIF": HEIF.suffixes} if HAS_HEIF else {})
)
SUFFIXES = frozenset(suffix for suffixes in SUFFIXES_BY_FORMAT.values() for suffix in suffixes)


def kind_of_suffix(suffix: str) -> PictureKind | None:
    """Return the kind of the files with this suffix, such as ``.mp4``; None for other files and ordinary images."""
    return next((kind for kind in (VIDEO, HEIF, AVIF) if suffix.lower() in kind.suffixes), None)


def kind_of_content(head: bytes) -> PictureKind | None:
    """Return the kind of a file that is no image which Pillow knows; None if it shows no pictures.

    head: the first 64 bytes of the file or more. The boxes ``ftyp`` are those of ISO/IEC 14496-12, section 4.3: the
    length, ``ftyp``, the major brand, a version, and the compatible brands. Files of the brand ``mif1`` hold an image
    in any coding, so that the compatible brands decide.
    """
    if head[4:8] == b"ftyp":
        brands = [head[i : i + 4] for i in (8, *range(16, min(int.from_bytes(head[:4], "big"), len(head)), 4))]
        if brands[0] == b"crx ":  # a camera's raw file
            return None
        if any(brand in _AVIF_BRANDS for brand in brands):
            return AVIF
        return HEIF if brands[0] in _HEIF_BRANDS else VIDEO
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return VIDEO if is_avi or head.startswith(_VIDEO_STARTS) else None
