"""Finds annotation files of whole splits (COCO, CSV), and the images that they name."""

from __future__ import annotations

import codecs
import contextlib
import re
from functools import cached_property
from pathlib import Path, PurePosixPath

from detect.data.formats.image_index import FileIndex, has_file, same_content
from detect.data.formats.report import Report
from detect.data.formats.split_names import ROBOFLOW_FILES, split_role
from detect.data.images import is_image
from detect.errors import UserError
from detect.system.files import require_file

_COCO_LIST = re.compile(rb'"(images|annotations)"\s*:\s*\[')
_OTHER_TASKS = frozenset({"captions", "person_keypoints"})  # of COCO's files of one split
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio names an uploaded "a (1).jpg" 1a2b3c4d-a_1.jpg
_NOT_IN_UPLOADS = re.compile(r"[^-\w.]")  # Django's get_valid_filename removes them
_MAX_FILES = 4  # annotation files of a split in one folder
_HEAD = 1 << 16  # bytes: they contain one of COCO's keys, or categories fill them all


def coco_files(root: Path) -> list[Path]:
    """Return the COCO annotation files in a folder, in its ``annotations``, or beside the images (as Roboflow does).

    Without any there, those of folders named for splits.
    """
    matches = (root.glob("*.json"), (root / "annotations").glob("*.json"), root.glob(f"*/{ROBOFLOW_FILES[0]}.json"))
    files = dict.fromkeys(file for folder_matches in matches for file in sorted(folder_matches))
    known = [file for file in files if not _is_beside_instances(file) and file.is_file() and has_coco_keys(file)]
    return known or [file for file in files_in_split_folders(root, "json") if has_coco_keys(file)]


def beside_instances(root: Path) -> list[Path]:
    """Return COCO's files of captions and keypoints beside the files of the same images' boxes, which are not read."""
    return [file for file in sorted(root.glob("annotations/*.json")) if _is_beside_instances(file)]


def _is_beside_instances(file: Path) -> bool:
    """Return True for captions_val2017.json and person_keypoints_val2017.json beside instances_val2017.json."""
    kind, _, split = file.name.rpartition("_")
    return kind in _OTHER_TASKS and has_file(file.with_name(f"instances_{split}"))


def csv_files(root: Path) -> list[Path]:
    """Return the CSV files in a folder, or beside the images (as Roboflow does), sorted.

    Without any there, those in its ``annotations`` (as in SKU110K), else those of folders named for splits.
    """
    places = (("*.csv", f"*/{ROBOFLOW_FILES[1]}.csv"), ("annotations/*.csv",))
    for patterns in places:
        files = [file for pattern in patterns for file in sorted(root.glob(pattern)) if file.is_file()]
        if files:
            return files
    return files_in_split_folders(root, "csv")


def files_in_split_folders(root: Path, suffix: str) -> list[Path]:
    """Return the annotation files in folders named for splits: train/boxes.csv, annotations/val/instances.json.

    A folder of more than a few such files holds one for each image, which is another format.
    """
    by_folder: dict[Path, list[Path]] = {}
    for pattern in (f"*/*.{suffix}", f"*/*/*.{suffix}"):
        for file in sorted(root.glob(pattern)):
            if any(split_role(part) is not None for part in file.relative_to(root).parts[:-1]):
                by_folder.setdefault(file.parent, []).append(file)
    return [file for files in by_folder.values() if len(files) <= _MAX_FILES for file in files]


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
    """Finds the images that an annotation file names, with or without what Label Studio put before an uploaded one.

    folders: those from which the names may start, the most likely first; the first in which an image is found is tried
    first for the next. What is in none of them is searched in ``index``, but not in folders of another split; split:
    the name of the file's own. A file of another suffix is taken for an image only where no image of the annotation
    file has its exact name, or beside one that has: it may show the mask or a preview of an image that is missing.
    """

    def __init__(self, folders: list[Path], index: FileIndex, report: Report, split: str = "") -> None:
        self._folders = [folder.absolute() for folder in folders]
        self._index = index
        self._report = report
        self._split = split
        self.files: set[Path] = set()
        self._exact_folders: set[Path] = set()
        self._guesses: list[tuple[PurePosixPath, Path, str]] = []

    def find(self, name: PurePosixPath, expected: str) -> Path:
        """Return the absolute path of an image; reports one that is missing or fits several files.

        expected: what the image is, for the message.
        """
        file = self._find(name, expected)
        self.files.add(file)
        if file.name != name.name and _UPLOADED.sub("", name.name) != _upload_name(file):
            self._guesses.append((name, file, expected))
        elif has_file(file):
            self._exact_folders.add(file.parent)
            guesses, self._guesses = self._guesses, []
            for guessed_name, guess, what in guesses:
                if guess.parent not in self._exact_folders:
                    self._report_missing(guessed_name, what)
        return file

    def find_unlabeled(self, name: PurePosixPath) -> Path | None:
        """Return the absolute path of an image that nobody labelled; None where it is missing, which is no fault."""
        matches = self._matches(name) or self._uploads.get(_UPLOADED.sub("", name.name), [])
        self.files.update(matches[:1])
        return next(iter(matches), None)

    def _find(self, name: PurePosixPath, expected: str) -> Path:
        """Return the path of an image, under its name before an upload too; reports one that is missing."""
        matches = self._matches(name)
        if not matches and _UPLOADED.match(name.name):
            matches = self._uploads.get(_UPLOADED.sub("", name.name), [])
            for path in matches[:1]:
                message = f"taken for {path.name}, its name before the upload to Label Studio"
                self._report.note("dialect", self._folders[0] / name, "", message)
        if not matches:
            return self._report_missing(name, expected)
        if len(matches) > 1 and not same_content(matches):
            paths = self._index.describe(matches)
            self._report("ambiguous-image", self._folders[0] / name, "", f"expected {expected}, found {paths}")
        return matches[0]

    def _matches(self, name: PurePosixPath) -> list[Path]:
        """Return the files that fit a name equally well."""
        if has_file(self._folders[0] / name):
            return [self._folders[0] / name]
        for folder in self._folders[1:]:
            if has_file(folder / name):
                if not self.files:
                    self._folders.insert(0, folder)
                return [folder / name]
        matches = self._index.find_named(name, self._split)
        if self._exact_folders:
            matches = [path for path in matches if path.name == name.name or path.parent in self._exact_folders]
        return matches

    @cached_property
    def _uploads(self) -> dict[str, list[Path]]:
        """The images by the names that Label Studio gives to uploaded ones, without what it puts before them."""
        uploads: dict[str, list[Path]] = {}
        for path in self._index.files:
            uploads.setdefault(_upload_name(path), []).append(path)
        return uploads

    def _report_missing(self, name: PurePosixPath, expected: str) -> Path:
        """Report that an image is missing, and return the path where it should be."""
        missing = self._folders[0] / name
        try:
            require_file(missing, expected)
        except UserError as error:
            self._report.add_error("missing-image", missing, "", error)
        return missing

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


def _upload_name(path: Path) -> str:
    """Return the name of an image in Label Studio, without what it puts before that of an uploaded one."""
    return _NOT_IN_UPLOADS.sub("", path.name.replace(" ", "_"))


def has_coco_keys(file: Path) -> bool:
    """Return True if the file starts like a COCO annotation file.

    That is an object with a list of images or annotations. CreateML's files are lists, and Supervisely's meta.json has
    the text "images". The file is not parsed, because it may have half a gigabyte. Categories alone are not enough:
    Label Studio's notes.json has them.
    """
    with contextlib.suppress(OSError), file.open("rb") as stream:
        head = stream.read(_HEAD)
        if not head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
            return False
        return _COCO_LIST.search(head) is not None or (len(head) == _HEAD and b'"categories"' in head)
    return False
