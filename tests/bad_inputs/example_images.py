"""Bad and unusual images, as people, cameras and attackers make them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bad_inputs.bad_input import BadInput, write_file

WIDTH, HEIGHT = 48, 32


def make_image(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """A red left half on blue."""
    drawn = Image.new("RGB", size, (20, 20, 220))
    drawn.paste((220, 20, 20), (0, 0, size[0] // 2, size[1]))
    return drawn.convert(mode)


def encode(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or make_image()).save(stream, kind, **options)
    return stream.getvalue()


def png_of_declared_size(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG that says any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode("JPEG", exif=exif)


def png_16_bit() -> bytes:
    return encode("PNG", Image.fromarray(np.full((HEIGHT, WIDTH), 40_000, np.uint16)))


def animated_gif() -> bytes:
    return encode("GIF", save_all=True, append_images=[make_image().rotate(90)])


def png_with_text_bomb() -> bytes:
    """A PNG whose comment unpacks to 70 MB; Pillow reads 1 MB of one."""
    comment = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(70_000_000), 1)
    plain = encode("PNG")
    chunk = struct.pack(">I", len(comment) - 4) + comment + struct.pack(">I", zlib.crc32(comment))
    return plain[:33] + chunk + plain[33:]


def write_link_loop(folder: Path) -> Path:
    (folder / "a.jpg").symlink_to(folder / "b.jpg")
    (folder / "b.jpg").symlink_to(folder / "a.jpg")
    return folder / "a.jpg"


def write_dangling_link(folder: Path) -> Path:
    (folder / "a.jpg").symlink_to(folder / "nothing.jpg")
    return folder / "a.jpg"


def write_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.jpg")
    return folder / "a.jpg"


def write_folder(folder: Path) -> Path:
    (folder / "a.jpg").mkdir()
    return folder / "a.jpg"


def write_latin1_name(folder: Path) -> Path:
    file = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg"))
    file.write_bytes(encode("JPEG"))
    return file


def jpeg_named(name: str) -> Callable[[Path], Path]:
    return write_file(name, encode("JPEG"))


EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"

IMAGES = {
    "no bytes": BadInput(write_file("a.jpg", b""), "the file is empty|expected an image"),
    "JPEG cut in two": BadInput(write_file("a.jpg", encode("JPEG")[:-300]), "truncated"),
    "JPEG cut in its header": BadInput(write_file("a.jpg", encode("JPEG")[:40]), "cannot be decoded|expected an image"),
    "progressive JPEG cut": BadInput(write_file("a.jpg", encode("JPEG", progressive=True)[:-200]), "truncated"),
    "PNG cut": BadInput(write_file("a.png", encode("PNG")[:-40]), "cannot be decoded"),
    "PNG bomb": BadInput(
        write_file("a.png", png_of_declared_size(50_000, 50_000, zlib.compress(bytes(99)))), "megapixels"
    ),
    "PNG of no width": BadInput(
        write_file("a.png", png_of_declared_size(0, 9, b"")), "cannot be decoded|expected an image|tile"
    ),
    "PNG with a comment of 70 MB": BadInput(write_file("a.png", png_with_text_bomb()), "cannot be decoded"),
    "text called .jpg": BadInput(write_file("a.jpg", "this is no image"), "expected an image, found something else"),
    "HTML called .jpg": BadInput(write_file("a.jpg", "<html>404</html>"), "expected an image, found something else"),
    "EPS called .jpg": BadInput(write_file("a.jpg", EPS), "expected an image, found something else"),
    "SVG called .png": BadInput(write_file("a.png", "<svg width='9' height='9'/>"), "expected an image"),
    "folder called .jpg": BadInput(write_folder, "expected an image, found a folder"),
    "pipe called .jpg": BadInput(write_pipe, "expected an image, found a pipe"),
    "link to itself": BadInput(write_link_loop, "cannot be read: Too many levels of symbolic links"),
    "link to nothing": BadInput(write_dangling_link, "cannot be read: No such file"),
    "name in Latin-1": BadInput(write_latin1_name, "expected a name in UTF-8"),
    "CMYK JPEG": BadInput(write_file("a.jpg", encode("JPEG", make_image("CMYK")))),
    "grey JPEG": BadInput(write_file("a.jpg", encode("JPEG", make_image("L")))),
    "16-bit PNG": BadInput(write_file("a.png", png_16_bit())),
    "palette PNG": BadInput(write_file("a.png", encode("PNG", make_image("P")))),
    "1-bit PNG": BadInput(write_file("a.png", encode("PNG", make_image("1")))),
    "PNG with alpha": BadInput(write_file("a.png", encode("PNG", make_image("RGBA")))),
    "animated GIF": BadInput(write_file("a.gif", animated_gif())),
    "PNG called .jpg": BadInput(write_file("a.jpg", encode("PNG"))),
    "1 x 1": BadInput(write_file("a.png", encode("PNG", make_image(size=(1, 1))))),
    "30000 x 10": BadInput(write_file("a.png", encode("PNG", make_image(size=(30_000, 10))))),
    "rubbish after the end": BadInput(write_file("a.jpg", encode("JPEG") + bytes(999))),
    "damaged EXIF": BadInput(write_file("a.jpg", encode("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))),
    **{f"EXIF orientation {turn}": BadInput(write_file("a.jpg", jpeg_with_orientation(turn))) for turn in range(2, 9)},
    "EXIF orientation 99": BadInput(write_file("a.jpg", jpeg_with_orientation(99))),
    "name with spaces": BadInput(jpeg_named("two  words .jpg")),
    "name in many scripts": BadInput(jpeg_named("фото 写真 🐕.jpg")),
    "name with a leading dash": BadInput(jpeg_named("--out.jpg")),
    "name with a line break": BadInput(jpeg_named("a\nb.jpg")),
    "name with markup": BadInput(jpeg_named("<b>[red]a&b.jpg")),
}
