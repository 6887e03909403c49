"""The ids of images and classes in COCO's files: those of the data set that the images belong to, or new ones."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from detect.config import DataConfig
from detect.data.formats import coco_json
from detect.data.formats.annotation_files import annotation_file, coco_files, has_coco_keys, image_folders
from detect.data.formats.coco_categories import choose_categories
from detect.data.formats.report import strict_report
from detect.data.image_names import ImageNames, relative_to_shared_folder
from detect.errors import UserError, did_you_mean
from detect.evaluation.predictions import Prediction
from detect.inference.result_writers import frame_record, is_unnamed
from detect.system.files import read_json_file, write_text


@dataclass(frozen=True)
class CocoIds:
    """The ids of a COCO annotation file.

    image_ids: the id of each image, by its path; category_ids: the id of each class, in order, None for a class that
    the weights have without a name; file: the annotation file; warning: a line on ids in it with which pycocotools'
    metrics are others than ours, or None.
    """

    image_ids: dict[str, int]
    category_ids: tuple[int | None, ...]
    file: Path
    warning: str | None = None

    def detected_category_ids(self, predictions: Sequence[Prediction], classes: Sequence[str]) -> list[int]:
        """Return the id of each class, 0 for one that has none. Raises UserError for a detection of such a class."""
        return self.category_ids_of({label for image in predictions for label in image.labels.tolist()}, classes)

    def category_ids_of(self, labels: Container[int], classes: Sequence[str]) -> list[int]:
        """Return the id of each class, 0 for one that has none. Raises UserError if that is one of the labels."""
        for label, (name, category_id) in enumerate(zip(classes, self.category_ids, strict=True), 1):
            if category_id is None and label in labels:
                raise _missing_category(self.file, name, "")
        return [category_id or 0 for category_id in self.category_ids]


@dataclass(frozen=True)
class FoundIds:
    """The ids of the data set that images belong to, None if there is no such data set; note: a line that says so."""

    ids: CocoIds | None
    note: str


def coco_ids(annotations: Path, image_files: Sequence[str], classes: Sequence[str]) -> CocoIds:
    """Return the ids of the images and classes in a COCO annotation file.

    Raises UserError if one is missing, if two images have the same id, or if two categories with objects have the same
    name.
    """
    document = coco_json.load_document(annotations)
    listed = document.get("annotations")
    objects = [record for record in listed if isinstance(record, dict)] if isinstance(listed, list) else []
    categories = _category_ids(annotations, document, objects)
    for name in classes:
        if name not in categories and not is_unnamed(name):
            raise _missing_category(annotations, name, did_you_mean(name, categories))
    return CocoIds(
        image_ids=_image_ids(annotations, document, image_files),
        category_ids=tuple(categories.get(name) for name in classes),
        file=annotations,
        warning=coco_json.id_warning(objects),
    )


def _category_ids(annotations: Path, document: dict[str, Any], objects: Sequence[Any]) -> dict[str, int]:
    """Return the id of each category by its name: of several with one name that with objects, as the reader chooses.

    A category that the reader leaves out has its id too, if no other has its name: another split may have its objects.
    """
    records = enumerate(coco_json.get_records(annotations, document, "categories"), start=1)
    parsed = [(f"category {i}", coco_json.parse_category(annotations, i, record)) for i, record in records]
    chosen = choose_categories(annotations, parsed, objects, strict_report())
    ids = {category.name: category.id for _, category in parsed}
    return ids | {name: category_id for category_id, name in chosen.items()}


def _image_ids(annotations: Path, document: dict[str, Any], image_files: Sequence[str]) -> dict[str, int]:
    """Return the id of each image. Raises UserError if it is missing, or that of another one."""
    records = list(enumerate(coco_json.get_records(annotations, document, "images"), start=1))
    names = [coco_json.parse_file_name(annotations, position, record) for position, record in records]
    ids = [coco_json.parse_id(annotations, f"image {position}", record, "id") for position, record in records]
    images = ImageNames(names)
    image_ids = {file: ids[images.find(file)] for file in image_files}
    files: dict[int, str] = {}
    for file, image_id in image_ids.items():
        first = files.setdefault(image_id, file)
        if first != file:
            raise UserError(
                f"{annotations}: expected an id of its own for each image, found {image_id} for {first} and {file}: "
                f"{_help_with_one_id(first, file)}"
            )
    return image_ids


def _help_with_one_id(first: str, second: str) -> str:
    """Return what to do about two images that an annotation file lists as one."""
    video, mark, _ = first.rpartition("#")
    if mark and video == second.rpartition("#")[0]:
        return f"list the frames of the video as images, file_name {PurePath(first).name} for the first"
    return "name their folders in file_name"


def _missing_category(annotations: Path, name: str, hint: str) -> UserError:
    return UserError(f"{annotations}: expected the class {name}, found no such category{hint}")


def find_coco_ids(settings: DataConfig, image_files: Sequence[Path], classes: Sequence[str]) -> FoundIds:
    """Return the ids of the COCO data set that has all images: that of a model's settings, or one beside the images.

    Without one, or with several that have other ids, there are none, and the note says what to do.
    """
    numbered = "coco: the images are numbered from 1, in coco_images.json; ids of a data set: --annotations GT.json"
    reasons: list[str] = []
    for candidates in (_files_of_settings(settings), _files_beside(image_files)):
        matches: list[CocoIds] = []
        for file, folders in candidates:
            if not _lists_all(file, folders, image_files):
                continue
            try:
                matches.append(coco_ids(file, list(map(str, image_files)), classes))
            except UserError as error:
                reasons.append(str(error))
        if len({(tuple(ids.image_ids.items()), ids.category_ids) for ids in matches}) > 1:
            files = " and ".join(str(ids.file) for ids in matches)
            return FoundIds(None, f"{numbered} ({files} list these images under other ids)")
        if matches:
            return FoundIds(matches[0], f"coco: the ids of images and classes are those of {matches[0].file}")
    return FoundIds(None, f"{numbered} ({reasons[0]})" if reasons else numbered)


def write_coco_images(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write the images and classes to which the ids of a ``coco_results.json`` without annotations refer, from 1.

    A COCO annotation file without objects: pycocotools reads it.
    """
    files = relative_to_shared_folder([prediction.file for prediction in predictions])
    images = [
        {"id": image_id, "file_name": file, "width": prediction.width, "height": prediction.height}
        | frame_record(prediction)
        for image_id, (file, prediction) in enumerate(zip(files, predictions, strict=True), 1)
    ]
    categories = [{"id": category_id, "name": name} for category_id, name in enumerate(classes, 1)]
    document = {"images": images, "categories": categories, "annotations": []}
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def images_file(results: Path) -> Path:
    """Return the file beside COCO results that lists their images: coco_images.json of coco_results.json."""
    return results.with_name(f"{results.stem.removesuffix('_results')}_images.json")


def is_coco_images(path: Path) -> bool:
    """Return whether a file is a list as ``write_coco_images`` writes it, and no annotation file of somebody else."""
    try:
        document = read_json_file(path, "a list of images")
    except UserError:
        return False
    match document:
        case {"images": list(), "categories": list(), "annotations": [], **others}:
            return not others
    return False


def remove_coco_images(results: Path, ids: CocoIds) -> None:
    """Remove the list that an earlier run wrote beside COCO results: with other ids now, it would explain them wrongly.

    It stays where the ids are its own, and so does a file that is no such list.
    """
    listed = images_file(results)
    if listed.resolve() != ids.file.resolve() and is_coco_images(listed):
        listed.unlink()


def _files_of_settings(settings: DataConfig) -> Iterator[tuple[Path, list[Path]]]:
    """Yield the COCO files of a model's data set, validation first, each with the folders of its images."""
    root = Path(settings.root)
    if settings.format not in ("coco", "auto") or not root.is_dir():
        return
    named = [
        annotation_file(root, split, ".json") for split in (settings.val, settings.train) if isinstance(split, str)
    ]
    images = None if settings.images is None else Path(settings.images)
    for file in dict.fromkeys([*named, *coco_files(root)]):
        if file.is_file() and has_coco_keys(file):
            yield file, image_folders(root, file, images)


def _files_beside(image_files: Sequence[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """Yield the COCO files in the folder of the images, in that above, and in ``annotations`` beside, with folders."""
    if not image_files:
        return
    shared = Path(os.path.commonpath([_absolute(file.parent) for file in image_files]))
    patterns = [(shared, "*.json"), (shared.parent, "*.json")]
    patterns += [(folder, "annotations/*.json") for folder in (shared, shared.parent, shared.parent.parent)]
    for folder, pattern in patterns:
        for file in sorted(folder.glob(pattern)):
            if file.is_file() and has_coco_keys(file):
                yield file, [shared, *image_folders(folder, file, None)]


def _lists_all(file: Path, folders: Sequence[Path], image_files: Sequence[Path]) -> bool:
    """Return whether every image is one that an annotation file names, below one of several folders."""
    names = coco_json.listed_names(file)
    images = {_absolute(image) for image in image_files}
    return any(images <= {_absolute(folder / name) for name in names} for folder in folders)


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps "..", and resolve would follow links
