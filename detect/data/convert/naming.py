"""What photos are called in the new folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from detect.data.formats.records import LabelledPhoto
from detect.errors import UserError


def target_names(photos: Iterable[LabelledPhoto], flat: bool) -> dict[Path, str]:
    """Photo file to its path in the folder of photos: its own; below the folder that all share where two have one name.

    flat: without folders, as VOC has it, their names joined by "_" where two photos would have one name. Raises
    UserError where two photos differ in nothing but their suffix: their label files would be one.
    """
    known = list(photos)
    names = [photo.name for photo in known]
    if any(PurePosixPath(name).is_absolute() for name in names) or _repeated(names):
        shared = Path(os.path.commonpath([photo.image.parent for photo in known]))
        names = [photo.image.relative_to(shared).as_posix() for photo in known]
    if flat:
        last = [PurePosixPath(name).name for name in names]
        names = [name.replace("/", "_") for name in names] if _repeated(last) else last
    repeated = _repeated(names)
    if repeated:
        first, second = (photo.image for photo, name in zip(known, names, strict=True) if _stem(name) == repeated)
        raise UserError(f"{second}: expected a name unlike that of {first}, of which only the suffix differs")
    return {photo.image: name for photo, name in zip(known, names, strict=True)}


def _repeated(names: list[str]) -> str | None:
    counts = Counter(map(_stem, names))
    return next((stem for stem, count in counts.items() if count > 1), None)


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
