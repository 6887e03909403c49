"""The names of YOLO's classes: a list or a mapping in ``data.yaml``, or the lines of a text file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detect.data.formats.image_index import has_file, listed_path
from detect.data.formats.label_text import class_name, label_lines
from detect.errors import UserError, shorten
from detect.system.yaml_files import respelled_numbers


def name_lines(file: Path, encoding: str | None) -> list[str]:
    """Return the lines of a list of names, without blank ones at its end: each line is a class."""
    lines = [line.strip() for line in label_lines(file, encoding)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def parse_names(file: Path, listed: Any, encoding: str | None = None) -> tuple[str, ...]:
    """Return the class names of a list, of a mapping of 0, 1, ... to names, or of a text file beside ``file``."""
    if isinstance(listed, str) and listed.strip() and has_file(file.parent / listed_path(listed)):
        names_file = file.parent / listed_path(listed)
        return parse_names(names_file, name_lines(names_file, encoding))
    if isinstance(listed, dict):
        listed = {int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in listed.items()}
        if sorted(listed, key=str) != sorted(range(len(listed)), key=str):
            raise UserError(
                f"{file}: names: expected the numbers 0 to {len(listed) - 1}, found {shorten(list(listed))}"
            )
        listed = [listed[i] for i in range(len(listed))]
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{file}: names: expected class names, found {shorten(listed)}")
    require_text(file, listed)
    names = tuple(class_name(str(name)) for name in listed)
    if not all(map(str.strip, names)):  # darknet and labelImg count blank lines
        blank = next(index for index, name in enumerate(names) if not name.strip())
        cure = "name it there, or remove the line if the labels do not count it"
        raise UserError(f"{file}: names: expected a name for each class, found a blank for class {blank}: {cure}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f'{file}: names: expected each name once, found "{repeated[0]}" twice')
    return names


def require_text(file: Path, names: Iterable[object]) -> None:
    """Raise UserError for a name that YAML reads neither as text nor as a number, as it does no, off and null."""
    for name in names:
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise UserError(f"{file}: names: expected text, found {shorten(name)}: put names such as no in quotes")


def require_spelled_names(file: Path, text: str) -> None:
    """Raise UserError for a name in data.yaml that YAML reads as a number of another spelling: 010 is 8, 1e3 is 1000.0.

    text: the content of the file, a mapping with ``names``.
    """
    for spelling, number in respelled_numbers(text, "names"):
        found = f"{spelling}, which YAML reads as {number}"
        raise UserError(f"{file}: names: expected text, found {found}: put such names in quotes")
