"""The record of a data set whose photos are files, and what its readers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detect.data.images import read_image
from detect.describe.captions import CaptionedImage, Mention, Sentence
from detect.describe.tokens import tokenize
from detect.errors import UserError
from detect.system.files import require_folder


@dataclass(frozen=True)
class CaptionFiles:
    """Photos in files with their sentences.

    classes: the names of labels 1..K; files: of each photo; notes: lines on what was left out.
    """

    classes: tuple[str, ...]
    images: tuple[CaptionedImage, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.images) != len(self.files):
            raise ValueError(f"CaptionFiles: expected {len(self.images)} files, found {len(self.files)}")

    def stamp(self, index: int) -> str:
        """Return the size of the file of a photo and the time of its last change."""
        stat = self.files[index].stat()
        return f"{stat.st_size} {stat.st_mtime_ns}"

    def read(self, index: int) -> np.ndarray:
        """Return the pixels (H, W, 3) of a photo, RGB uint8. Raises UnreadableImage."""
        return read_image(self.files[index])


def to_sentence(text: str, mentions: Sequence[Mention] = ()) -> Sentence:
    """Return a text with its words."""
    return Sentence(text=text, tokens=tokenize(text), mentions=tuple(mentions))


def count_wordless(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the line on sentences without a word, which are left out; none where there are none."""
    count = sum(not tokenize(text) for text in texts)
    return (f"{count} sentences without letters or digits are left out",) if count else ()


def photo_folder(root: Path, images: Path | None, usual: Sequence[str]) -> Path:
    """Return the folder of the photos.

    images: as data.images names it, absolute, in the current folder or in ``root``; None for the first folder of
    ``usual`` that ``root`` has, or ``root`` itself. Raises UserError for a folder that does not exist.
    """
    if images is not None:
        return require_folder(images if images.is_dir() else root / images, "the folder data.images")
    return next((root / name for name in usual if (root / name).is_dir()), require_folder(root, "the folder data.root"))


def require_photos(files: Sequence[Path], listed_in: Path) -> None:
    """Raise UserError unless all photos of a list are there."""
    try:
        missing = [file for file in files if not file.is_file()]
    except OSError as error:  # a name too long, a folder that may not be entered
        raise UserError(
            f"{listed_in}: expected its {len(files)} photos, found {error.filename}: {error.strerror}"
        ) from error
    if missing:
        raise UserError(
            f"{listed_in}: expected its {len(files)} photos, found {len(files) - len(missing)}: "
            f"{missing[0]} is not there"
        )
