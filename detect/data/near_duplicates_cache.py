"""Image hashes, cached in the user's cache folder so that a second start does not read the images again."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from detect.data.images import read_reduced_gray
from detect.data.near_duplicates import ImageHash, image_hash
from detect.errors import RunError, UnreadableImage
from detect.system.files import write_bytes
from detect.system.randomness import hash_key

_VERSION = 1  # increase it with every change of the hashes


def hash_cache_file(images: Sequence[Path]) -> Path:
    """Return the cache file for the hashes of these images: one file for the folder that contains them all."""
    folder = os.path.commonpath([image.parent for image in images]) if images else ""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "detect" / f"likeness-v{_VERSION}" / f"{hash_key(folder):016x}.npz"


def image_hashes(images: Sequence[Path], cache: Path, on_progress: Callable[[int], None]) -> list[ImageHash | None]:
    """Return the hash of each image; None for an image that cannot be read.

    A cached hash is identified by the path, size and modification time of its image. Where ``cache`` cannot be written,
    or its content cannot be read, all hashes are computed again at each start. on_progress: called with the number of
    hashes that became available since the last call.
    """
    keys = [_file_key(image) for image in images]
    hashes = _read_cache(cache)
    missing = [index for index, file_key in enumerate(keys) if file_key not in hashes]
    on_progress(len(images) - len(missing))
    with ThreadPoolExecutor() as threads:
        for index, computed in zip(
            missing, threads.map(_compute_hash, (images[index] for index in missing)), strict=True
        ):
            if computed is not None:
                hashes[keys[index]] = computed
            on_progress(1)
    in_order = [hashes.get(file_key) for file_key in keys]
    if missing:
        with contextlib.suppress(RunError):
            _write_cache(
                cache, {k: computed for k, computed in zip(keys, in_order, strict=True) if computed is not None}
            )
    return in_order


def _file_key(image: Path) -> int:
    """Return a key of the path, size and modification time of an image."""
    status = image.stat()
    return hash_key(str(image), status.st_size, status.st_mtime_ns)


def _compute_hash(image: Path) -> ImageHash | None:
    """Return the hash of an image file; None if it cannot be read, because the loader reports unreadable images."""
    try:
        return image_hash(read_reduced_gray(image))
    except UnreadableImage:
        return None


def _read_cache(file: Path) -> dict[int, ImageHash]:
    """Return the cached hashes by key; none where the file is missing or damaged."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            columns = zip(stored["keys"].tolist(), stored["bits"], stored["cells"], strict=True)
            return {at: ImageHash(bits, cells) for at, bits, cells in columns}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _write_cache(file: Path, hashes: dict[int, ImageHash]) -> None:
    """Write the hashes by key to the cache file."""
    content = io.BytesIO()
    np.savez(
        content,
        keys=np.array([*hashes], np.int64),
        bits=np.array([entry.bits for entry in hashes.values()], bool).reshape(-1, 64),
        cells=np.array([entry.cells for entry in hashes.values()], np.uint8).reshape(-1, 256),
    )
    write_bytes(file, content.getvalue())
