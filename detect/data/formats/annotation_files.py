"""Finds annotation files of whole splits (COCO, CSV), and the images that they name."""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath

from detect.data.formats.image_index import FileIndex, has_file
from detect.data.formats.report import Report
from detect.data.formats.split_names import ROBOFLOW_FILES
from detect.data.images import is_image
from detect.errors import UserError
from detect.system.files import require_file

_COCO_KEYS = (b'"images"', b'"annotations"')
_HEAD = 1 << 16  # bytes: they contain one of COCO's keys, or categories fill them all


def coco_files(root: Path) -> list[Path]:
    """Return the COCO annotation files in a folder, in its ``annotations``, or beside the images (as Roboflow does)."""
    matches = (root.glob("*.json"), (root / "annotations").glob("*.json"), root.glob(f"*/{ROBOFLOW_FILES[0]}.json"))
    files = dict.fromkeys(file for folder_matches in matches for file in sorted(folder_matches))
    return [file for file in files if file.is_file() and _has_coco_keys(file)]


def csv_files(root: Path) -> list[Path]:
    """Return the CSV files in a folder, or beside the images (as Roboflow does), sorted."""
    files = [*sorted(root.glob("*.csv")), *sorted(root.glob(f"*/{ROBOFLOW_FILES[1]}.csv"))]
    return [file for file in files if file.is_file()]


def annotation_file(root: Path, selection: str, suffix: str) -> Path:
    """Return the file of a name with or without its suffix, absolute or in root."""
    file, with_suffix = root / selection, root / f"{selection}{suffix}"
    return with_suffix if not file.is_file() and with_suffix.is_file() else file


def split_name(root: Path, file: Path) -> str:
    """Return the name of the split of an annotation file below ``root``: its path without the suffix."""
    return file.relative_to(root).with_suffix("").as_posix()


def image_folders(root: Path, file: Path, images: Path | None) -> list[Path]:
    """Return the folders that may contain the images of ``file``, the most likely first.

    CVAT keeps them in images/train, COCO in train2017.
    """
    if images is not None:
        return [root / images]
    stem = file.stem.removeprefix("instances_")
    below_root = [root / "images", root, root / "images" / stem, root / stem]
    candidates = [*below_root, file.parent, file.parent / "images"]
    return [folder for folder in candidates if folder.is_dir()] or candidates


class NamedImages:
    """Finds the images that an annotation file names.

    folders: those from which the names may start, the most likely first; the first in which an image is found is tried
    first for the next. What is in none of them is searched in ``index``, but not in folders of another split; split:
    the name of the file's own.
    """

    def __init__(self, folders: list[Path], index: FileIndex, report: Report, split: str = "") -> None:
        self._folders = [folder.absolute() for folder in folders]
        self._index = index
        self._report = report
        self._split = split
        self.files: set[Path] = set()

    def find(self, name: PurePosixPath, expected: str) -> Path:
        """Return the absolute path of an image; reports one that is missing or fits several files.

        expected: what the image is, for the message.
        """
        file = self._find(name, expected)
        self.files.add(file)
        return file

    def _find(self, name: PurePosixPath, expected: str) -> Path:
        if has_file(self._folders[0] / name):
            return self._folders[0] / name
        for folder in self._folders[1:]:
            if has_file(folder / name):
                if not self.files:
                    self._folders.insert(0, folder)
                return folder / name
        matches = self._index.find_named(name, self._split)
        if not matches:
            missing = self._folders[0] / name
            try:
                require_file(missing, expected)
            except UserError as error:
                self._report.add_error("missing-image", missing, "", error)
            return missing
        if len(matches) > 1:
            paths = " and ".join(path.relative_to(self._index.root).as_posix() for path in matches[:3])
            self._report("ambiguous-image", self._folders[0] / name, "", f"expected {expected}, found {paths}")
        return matches[0]

    def likely_files(self, name: str) -> list[Path]:
        """Return the paths that a name may stand for, whether they exist or not."""
        return [folder / name for folder in self._folders]

    def report_unlabelled(self, named: set[Path], message: str) -> None:
        """Report the images beside those that were found, but for ``named``: those of all annotation files."""
        for folder in sorted({file.parent for file in self.files}):
            with contextlib.suppress(OSError):
                for file in sorted(folder.iterdir()):
                    if file not in named and is_image(file):
                        self._report("unlabelled-image", file, "", message)


def _has_coco_keys(file: Path) -> bool:
    """Return True if the file starts like a COCO annotation file.

    The file is not parsed, because it may have half a gigabyte. Categories alone are not enough: Label Studio's
    notes.json has them.
    """
    with contextlib.suppress(OSError), file.open("rb") as stream:
        head = stream.read(_HEAD)
        return any(key in head for key in _COCO_KEYS) or (len(head) == _HEAD and b'"categories"' in head)
    return False
