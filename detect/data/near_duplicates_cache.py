"""Likenesses of images, kept in the user's cache folder so that a second start does not read the images again."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from detect.data.images import UnreadableImage, read_reduced_grey
from detect.data.near_duplicates import Likeness, likeness
from detect.errors import WorkError
from detect.system.files import write_bytes
from detect.system.randomness import key

_VERSION = 1  # raise it with every change to what a likeness is


def cache_file(images: Sequence[Path]) -> Path:
    """Where the likenesses of these images are kept: a file for the folder that holds them all."""
    folder = os.path.commonpath([image.parent for image in images]) if images else ""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "detect" / f"likeness-v{_VERSION}" / f"{key(folder):016x}.npz"


def image_likenesses(images: Sequence[Path], cache: Path, done: Callable[[int], None]) -> list[Likeness | None]:
    """The likeness of each image, None where it cannot be read; done: told how many are ready, now and then.

    It is known by its image's path, size and time of change. Where ``cache`` cannot be written, or what is there cannot
    be read, all are computed anew at each start.
    """
    keys = [_key(image) for image in images]
    kept = _read(cache)
    missing = [place for place, at in enumerate(keys) if at not in kept]
    done(len(images) - len(missing))
    with ThreadPoolExecutor() as threads:
        for place, found in zip(missing, threads.map(_likeness, (images[place] for place in missing)), strict=True):
            if found is not None:
                kept[keys[place]] = found
            done(1)
    found_now = [kept.get(at) for at in keys]
    if missing:
        with contextlib.suppress(WorkError):
            _write(cache, {at: value for at, value in zip(keys, found_now, strict=True) if value is not None})
    return found_now


def _key(image: Path) -> int:
    facts = image.stat()
    return key(str(image), facts.st_size, facts.st_mtime_ns)


def _likeness(image: Path) -> Likeness | None:
    """The loader names the images that cannot be read."""
    try:
        return likeness(read_reduced_grey(image))
    except UnreadableImage:
        return None


def _read(file: Path) -> dict[int, Likeness]:
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            columns = zip(stored["keys"].tolist(), stored["bits"], stored["cells"], strict=True)
            return {at: Likeness(bits, cells) for at, bits, cells in columns}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _write(file: Path, likenesses: dict[int, Likeness]) -> None:
    content = io.BytesIO()
    np.savez(
        content,
        keys=np.array([*likenesses], np.int64),
        bits=np.array([each.bits for each in likenesses.values()], bool).reshape(-1, 64),
        cells=np.array([each.cells for each in likenesses.values()], np.uint8).reshape(-1, 256),
    )
    write_bytes(file, content.getvalue())
