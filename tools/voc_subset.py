"""Writes a VOC folder that has some images of another one: lists of its own, and links to the files of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from detect.errors import UserError
from detect.system.files import require_file, write_text
from detect.system.numbers import format_count


def read_list(root: Path, name: str) -> list[str]:
    """Return the images of a list of a VOC folder, without suffixes. Raises UserError if there is no such list."""
    file = root / "ImageSets" / "Main" / f"{name}.txt"
    return require_file(file, "a list of a folder in VOC's layout").read_text().split()


def write_subset(root: Path, out: Path, lists: Mapping[str, Sequence[str]]) -> Path:
    """Write the ``lists`` of images, by name, and links to the annotations and images of ``root``.

    Return the absolute path of ``out``. Raises UserError if ``out`` holds another subset, on which runs were trained.
    """
    folder = out / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Annotations", "JPEGImages"):
        link, target = out / name, (root / name).absolute()
        if not link.is_symlink():
            link.symlink_to(target)
        elif link.readlink() != target:
            raise UserError(f"{link}: expected a link to {target}, found one to {link.readlink()}; give another --out")
    for name, images in lists.items():
        subset, file = "".join(f"{image}\n" for image in images), folder / f"{name}.txt"
        if file.exists() and file.read_text() != subset:
            raise UserError(
                f"{file}: expected {format_count(len(images), 'image')} of {root}, found others; give another --out"
            )
        write_text(file, subset)
    return out.absolute()
