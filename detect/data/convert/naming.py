"""Chooses the file names of the images in the new folder."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from detect.data.formats.detect_format import WritableFormat
from detect.data.formats.records import LabeledImage
from detect.errors import UserError

# The backslash, which is read as a slash; what is no text in UTF-8; what ends a line of a list; what XML cannot hold.
_FORBIDDEN_IN_IMAGES = {
    "coco": re.compile("[\\\\\ud800-\udfff]"),
    "csv": re.compile("[\\\\\ud800-\udfff\r]"),
    "yolo": re.compile("[\\\\\ud800-\udfff\n-\r\x1c-\x1e\x85\u2028\u2029]"),
    "voc": re.compile("[\\\\\ud800-\udfff\n-\x1f\x85\u2028\u2029\x00-\x08\ufffe\uffff]"),
}
_AT_START = {"voc": re.compile(r"[#\ufeff]|\s+"), "csv": re.compile(r"\s+")}  # VOC's lists take # for a comment
_BLANKS_AT_END = re.compile(r"\s+$")


def target_names(images: Iterable[LabeledImage], flat: bool) -> dict[Path, str]:
    """Return the path of each image file inside the new folder of images.

    It is the image's name, or the path below the folder that all images share if two images have the same name. flat:
    no subfolders, as VOC requires; folder names are joined by "_" if two images would have the same name. Raises
    UserError if two images differ only in their suffix, because their label files would be the same.
    """
    all_images = list(images)
    names = [image.name for image in all_images]
    if any(PurePosixPath(name).is_absolute() for name in names) or _first_repeated_stem(names):
        shared = Path(os.path.commonpath([image.file.parent for image in all_images]))
        names = [image.file.relative_to(shared).as_posix() for image in all_images]
    if flat:
        file_names = [PurePosixPath(name).name for name in names]
        names = [name.replace("/", "_") for name in names] if _first_repeated_stem(file_names) else file_names
    repeated = _first_repeated_stem(names)
    if repeated:
        first, second, *_ = (
            image.file for image, name in zip(all_images, names, strict=True) if _stem(name) == repeated
        )
        raise UserError(f"{second}: expected a name that differs from {first} in more than the suffix")
    return {image.file: name for image, name in zip(all_images, names, strict=True)}


def writable_image_names(names: dict[Path, str], target: WritableFormat) -> dict[Path, str]:
    """Return the names with "_" for each character that ``target`` cannot hold there; names: as ``target_names`` does.

    Those are backslashes; line breaks, but for COCO; # and blanks at the start of VOC's stems, and blanks at their end;
    blanks at the start of CSV's paths. More "_" follow where another image has the name.
    """
    replaced = {file: _replace(name, target) for file, name in names.items()}
    taken = {_stem(name) for file, name in replaced.items() if name == names[file]}
    for file, name in replaced.items():
        if name != names[file]:
            path = PurePosixPath(name)
            while _stem(path.as_posix()) in taken:
                path = path.with_stem(f"{path.stem}_")
            replaced[file] = path.as_posix()
            taken.add(_stem(path.as_posix()))
    return replaced


def _replace(name: str, target: WritableFormat) -> str:
    name = _FORBIDDEN_IN_IMAGES[target].sub("_", name)
    start = _AT_START[target].match(name) if target in _AT_START else None
    if start is not None:
        name = "_" * len(start[0]) + name[start.end() :]
    if target != "voc":
        return name
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    return _BLANKS_AT_END.sub(lambda blanks: "_" * len(blanks[0]), stem) + suffix


def _first_repeated_stem(names: list[str]) -> str | None:
    counts = Counter(map(_stem, names))
    return next((stem for stem, count in counts.items() if count > 1), None)


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
