"""Images as people, cameras and attackers make them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bad_inputs.nasty import Nasty, content

WIDTH, HEIGHT = 48, 32


def picture(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """A red left half on blue."""
    drawn = Image.new("RGB", size, (20, 20, 220))
    drawn.paste((220, 20, 20), (0, 0, size[0] // 2, size[1]))
    return drawn.convert(mode)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or picture()).save(stream, kind, **options)
    return stream.getvalue()


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG that says any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded("JPEG", exif=exif)


def sixteen_bits() -> bytes:
    return encoded("PNG", Image.fromarray(np.full((HEIGHT, WIDTH), 40_000, np.uint16)))


def animated() -> bytes:
    return encoded("GIF", save_all=True, append_images=[picture().rotate(90)])


def text_bomb() -> bytes:
    """A PNG whose comment unpacks to 200 MB."""
    comment = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    plain = encoded("PNG")
    chunk = struct.pack(">I", len(comment) - 4) + comment + struct.pack(">I", zlib.crc32(comment))
    return plain[:33] + chunk + plain[33:]


def loop(folder: Path) -> Path:
    (folder / "a.jpg").symlink_to(folder / "b.jpg")
    (folder / "b.jpg").symlink_to(folder / "a.jpg")
    return folder / "a.jpg"


def dangling(folder: Path) -> Path:
    (folder / "a.jpg").symlink_to(folder / "nothing.jpg")
    return folder / "a.jpg"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.jpg")
    return folder / "a.jpg"


def subfolder(folder: Path) -> Path:
    (folder / "a.jpg").mkdir()
    return folder / "a.jpg"


def latin_name(folder: Path) -> Path:
    file = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg"))
    file.write_bytes(encoded("JPEG"))
    return file


def named(name: str) -> Callable[[Path], Path]:
    return content(name, encoded("JPEG"))


EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"

IMAGES = {
    "no bytes": Nasty(content("a.jpg", b""), "the file is empty|expected an image"),
    "JPEG cut in two": Nasty(content("a.jpg", encoded("JPEG")[:-300]), "truncated"),
    "JPEG cut in its header": Nasty(content("a.jpg", encoded("JPEG")[:40]), "cannot be decoded|expected an image"),
    "progressive JPEG cut": Nasty(content("a.jpg", encoded("JPEG", progressive=True)[:-200]), "truncated"),
    "PNG cut": Nasty(content("a.png", encoded("PNG")[:-40]), "cannot be decoded"),
    "PNG bomb": Nasty(content("a.png", png(50_000, 50_000, zlib.compress(bytes(99)))), "megapixels"),
    "PNG of no width": Nasty(content("a.png", png(0, 9, b"")), "cannot be decoded|expected an image|tile"),
    "PNG with a comment of 200 MB": Nasty(content("a.png", text_bomb()), "cannot be decoded"),
    "text called .jpg": Nasty(content("a.jpg", "this is no image"), "expected an image, found something else"),
    "HTML called .jpg": Nasty(content("a.jpg", "<html>404</html>"), "expected an image, found something else"),
    "EPS called .jpg": Nasty(content("a.jpg", EPS), "expected an image, found something else"),
    "SVG called .png": Nasty(content("a.png", "<svg width='9' height='9'/>"), "expected an image"),
    "folder called .jpg": Nasty(subfolder, "expected an image, found a folder"),
    "pipe called .jpg": Nasty(pipe, "expected an image, found a pipe"),
    "link to itself": Nasty(loop, "cannot be read: Too many levels of symbolic links"),
    "link to nothing": Nasty(dangling, "cannot be read: No such file"),
    "name in Latin-1": Nasty(latin_name, "expected a name in UTF-8"),
    "CMYK JPEG": Nasty(content("a.jpg", encoded("JPEG", picture("CMYK")))),
    "grey JPEG": Nasty(content("a.jpg", encoded("JPEG", picture("L")))),
    "16-bit PNG": Nasty(content("a.png", sixteen_bits())),
    "palette PNG": Nasty(content("a.png", encoded("PNG", picture("P")))),
    "1-bit PNG": Nasty(content("a.png", encoded("PNG", picture("1")))),
    "PNG with alpha": Nasty(content("a.png", encoded("PNG", picture("RGBA")))),
    "animated GIF": Nasty(content("a.gif", animated())),
    "PNG called .jpg": Nasty(content("a.jpg", encoded("PNG"))),
    "1 x 1": Nasty(content("a.png", encoded("PNG", picture(size=(1, 1))))),
    "30000 x 10": Nasty(content("a.png", encoded("PNG", picture(size=(30_000, 10))))),
    "rubbish after the end": Nasty(content("a.jpg", encoded("JPEG") + bytes(999))),
    "damaged EXIF": Nasty(content("a.jpg", encoded("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))),
    **{f"EXIF orientation {turn}": Nasty(content("a.jpg", turned(turn))) for turn in range(2, 9)},
    "EXIF orientation 99": Nasty(content("a.jpg", turned(99))),
    "name with spaces": Nasty(named("two  words .jpg")),
    "name in many scripts": Nasty(named("фото 写真 🐕.jpg")),
    "name with a leading dash": Nasty(named("--out.jpg")),
    "name with a line break": Nasty(named("a\nb.jpg")),
    "name with markup": Nasty(named("<b>[red]a&b.jpg")),
}
