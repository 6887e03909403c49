"""A labelled folder as a tool or a person writes it, with the boxes that it has, or why it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.data.cases.readers import Boxes
from tests.data.cases.write_cases import BOX, HEIGHT, WIDTH, write_files

CAT = ("cat", *BOX)
SIZE = (WIDTH, HEIGHT)


@dataclass(frozen=True)
class Case:
    """A folder.

    write: writes it below a root; boxes: of each image, None where the folder is refused; refused: a pattern of the
    message of every command; findings: the kinds that inspection reports, besides those of images that look alike.
    """

    write: Callable[[Path], object]
    boxes: Boxes | None = None
    refused: str = ""
    findings: frozenset[str] = field(default_factory=frozenset)


def files_of(files: Mapping[str, str]) -> Callable[[Path], object]:
    """Return a function that writes texts by path, and images where the text is the word image."""
    return lambda root: write_files(root, files)


def boxes_of(*names: str, box: tuple[object, ...] = CAT) -> Boxes:
    """Return the same box in each image."""
    return {name: [box] for name in sorted(names)}
