"""What images are called in the new folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from detect.data.formats.records import LabelledImage
from detect.errors import UserError


def target_names(images: Iterable[LabelledImage], flat: bool) -> dict[Path, str]:
    """Image file to its path in the folder of images: its own; below the folder that all share where two have one name.

    flat: without folders, as VOC has it, their names joined by "_" where two images would have one name. Raises
    UserError where two images differ in nothing but their suffix: their label files would be one.
    """
    known = list(images)
    names = [image.name for image in known]
    if any(PurePosixPath(name).is_absolute() for name in names) or _repeated(names):
        shared = Path(os.path.commonpath([image.image.parent for image in known]))
        names = [image.image.relative_to(shared).as_posix() for image in known]
    if flat:
        last = [PurePosixPath(name).name for name in names]
        names = [name.replace("/", "_") for name in names] if _repeated(last) else last
    repeated = _repeated(names)
    if repeated:
        first, second = (image.image for image, name in zip(known, names, strict=True) if _stem(name) == repeated)
        raise UserError(f"{second}: expected a name unlike that of {first}, of which only the suffix differs")
    return {image.image: name for image, name in zip(known, names, strict=True)}


def _repeated(names: list[str]) -> str | None:
    counts = Counter(map(_stem, names))
    return next((stem for stem, count in counts.items() if count > 1), None)


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
