"""Which images a command line means."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from detect.data.images import SUFFIXES, is_image
from detect.errors import UserError
from detect.system.files import existing_file


def find_images(paths: Sequence[str]) -> list[Path]:
    """Each PATH is an image, a folder (searched to the bottom), or a glob; in order, each image once.

    A file named itself is taken whatever its suffix; in a folder also what only has an image's name, a link that leads
    nowhere above all, which will be told as unreadable.
    Raises UserError for a PATH that does not exist or holds no image.
    """
    found: dict[Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys(_images_of(path)))
    return list(found)


def _images_of(path: str) -> list[Path]:
    named = Path(path)
    if named.is_dir():
        images = sorted(file for file in named.rglob("*") if is_image(file) and not file.is_dir())
        if not images:
            raise UserError(f"{path}: expected images ({', '.join(sorted(SUFFIXES))}), found none in this folder")
        return images
    if named.is_file() or not glob.has_magic(path):
        return [existing_file(named, "an image, a folder or a glob")]
    matches = _matches(path)
    images = [match for match in matches if is_image(match) and not match.is_dir()]
    if not images:
        raise UserError(f"{path}: expected a glob that matches images, found {len(matches)} matches and no image")
    return images


def _matches(pattern: str) -> list[Path]:
    """As glob.glob has them, but ``**`` enters no linked folder: of two that lead back up it would find 2^40 ways down.

    Path's own ``**`` does not, but takes it in a whole part alone and with hidden files.
    """
    path = Path(pattern)
    parts = [part if part == "**" else part.replace("**", "*") for part in path.parts]
    if "**" not in parts:
        return [Path(match) for match in sorted(glob.glob(pattern))]  # noqa: PTH207 - Path.glob refuses absolute ones
    if parts[-1] == "**":
        parts.append("*")
    found = Path(path.anchor).glob(str(Path(*parts).relative_to(path.anchor)))
    return sorted((match for match in found if not _is_hidden(match, parts)), key=str)


def _is_hidden(match: Path, parts: Sequence[str]) -> bool:
    """Whether a part of it begins with a dot that the pattern does not name."""
    return any(part.startswith(".") and part not in parts for part in match.parts)
