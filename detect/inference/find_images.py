"""Finds the images that the arguments of a command name."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from detect.data.images import SUFFIXES, is_image
from detect.errors import UserError
from detect.system.files import require_file


def find_images(paths: Sequence[str]) -> list[Path]:
    """Return the images of all paths in order, each once.

    A path is an image, a folder (searched recursively), or a glob. A file is taken whatever its suffix. In a folder
    every entry with an image's suffix is taken, also a broken link, which is reported as unreadable later. Raises
    UserError for a path that does not exist or contains no image.
    """
    images: dict[Path, None] = {}
    for path in paths:
        images.update(dict.fromkeys(_images_of(path)))
    return list(images)


def _images_of(path: str) -> list[Path]:
    file = Path(path)
    if file.is_dir():
        images = sorted(entry for entry in file.rglob("*") if is_image(entry) and not entry.is_dir())
        if not images:
            raise UserError(f"{path}: expected images ({', '.join(sorted(SUFFIXES))}), found none in this folder")
        return images
    if file.is_file() or not glob.has_magic(path):
        return [require_file(file, "an image, a folder or a glob")]
    matches = _matches(path)
    images = [match for match in matches if is_image(match) and not match.is_dir()]
    if not images:
        raise UserError(f"{path}: expected a glob that matches images, found {len(matches)} matches and no image")
    return images


def _matches(pattern: str) -> list[Path]:
    """Return the sorted matches of a glob as glob.glob does, except that ``**`` does not follow links to folders.

    Two links that lead back up would give 2^40 paths. ``Path.glob`` does not follow them either, but it accepts ``**``
    only as a complete part of the path, and matches hidden files.
    """
    path = Path(pattern)
    parts = [part if part == "**" else part.replace("**", "*") for part in path.parts]
    if "**" not in parts:
        return [Path(match) for match in sorted(glob.glob(pattern))]  # noqa: PTH207 - Path.glob refuses absolute ones
    if parts[-1] == "**":
        parts.append("*")
    matches = Path(path.anchor).glob(str(Path(*parts).relative_to(path.anchor)))
    return sorted((match for match in matches if not _is_hidden(match, parts)), key=str)


def _is_hidden(match: Path, parts: Sequence[str]) -> bool:
    """Return True if a part of the path begins with a dot and the pattern does not name it."""
    return any(part.startswith(".") and part not in parts for part in match.parts)
