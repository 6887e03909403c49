"""Reads the text of label files: UTF-8, with or without a byte order mark, UTF-16 with one, or an encoding by name.

Nothing guesses an encoding: the same bytes are a text in many, and class names would change from machine to machine.
"""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

from detect.errors import UserError
from detect.system.files import require_file

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_label_text(file: Path, expected: str, encoding: str | None) -> str:
    """Return the text of a file, with its own line ends; UserError if it is not ``expected``.

    encoding: Python's name of the encoding of files without a byte order mark; None for UTF-8.
    """
    content = require_file(file, expected).read_bytes()
    name = next((marked for mark, marked in _MARKS if content.startswith(mark)), encoding or "utf-8")
    try:
        return content.decode(name)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        actual = f"byte {content[error.start]:#x} in line {line}"
        cure = "save it in UTF-8, or name its encoding: data.encoding or --encoding"
        raise UserError(f"{file}: expected text in {_display(name)}, found {actual}: {cure}") from None


def label_lines(file: Path, encoding: str | None) -> list[str]:
    """Return the lines of a file as ``read_label_text`` reads it."""
    return read_label_text(file, "a text", encoding).splitlines()


def class_name(text: str) -> str:
    """Return a class name as all files are taken to spell it: with accents composed (Unicode's NFC).

    Macs write the letter ü as two characters, and the same class would be two.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def require_encoding(name: str | None) -> str | None:
    """Return the name of an encoding of text, or None for UTF-8. Raises UserError if Python knows none of that name."""
    try:
        "".encode(name or "utf-8")
    except LookupError:
        expected = "expected the name of an encoding, such as cp1252, gbk or shift_jis"
        raise UserError(f"data.encoding or --encoding: {expected}, found {name}") from None
    return name


def _display(name: str) -> str:
    """Return the name of an encoding for a message."""
    return {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16"}.get(name, name)
