"""COCO annotation files, read to their end whatever is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeVar

from detect.data.formats import coco_json
from detect.data.formats.detect_format import ROBOFLOW, coco_files
from detect.data.formats.split_names import split_of
from detect.data.images import is_image
from detect.data.inspect.findings import Finding
from detect.data.inspect.scan_records import SeenImage, SeenObject, Survey
from detect.data.sources import image_folders
from detect.errors import UserError
from detect.system.files import existing_folder

Record = TypeVar("Record")


def read_coco_survey(root: Path, images: Path | None = None) -> Survey:
    """Every COCO file in ``root`` or its ``annotations``, and every image in their folders.

    images: the folder of the images; None: the one beside that holds most of those named. Raises UserError.
    """
    files = _annotation_files(root)
    readings = [_Reading(file, root, images) for file in files]
    findings = [finding for reading in readings for finding in reading.findings]
    image_files = tuple(image for reading in readings for image in reading.images)
    unread = {reading.folder / str(record.get("file_name")) for reading in readings for record in reading.unread}
    named = {image.image for image in image_files} | unread
    folders = {reading.folder for reading in readings}
    for file in sorted({file for folder in folders for file in folder.glob("*") if is_image(file)}):
        if file not in named:
            findings.append(Finding("unlabelled-image", str(file), "", "in no annotation file"))
    classes = dict.fromkeys(name for reading in readings for name in reading.categories.values())
    return Survey("coco", root, image_files, tuple(classes), tuple(findings))


def _annotation_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    existing_folder(root, "a folder with COCO's annotation files, or one of them")
    files = coco_files(root)
    if not files:
        raise UserError(f"{root}: expected a COCO annotation file (.json) in it or in its annotations, found none")
    return files


class _Reading:
    """One annotation file; what is wrong becomes a finding, and the reading goes on."""

    def __init__(self, file: Path, root: Path, images: Path | None) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.images: list[SeenImage] = []
        self.categories: dict[int, str] = {}
        self.folder = images or root
        self.unread: list[dict[str, Any]] = []
        try:
            self.document = coco_json.load_document(file)
        except UserError as error:
            self._found("damaged-annotation", "", str(error))
            return
        self._read_categories()
        self._read_images(root if root.is_dir() else root.parent, images)

    def _found(self, kind: str, where: str, what: str) -> None:
        what = what.removeprefix(f"{self.file}: ").removeprefix(f"{where}: ")
        self.findings.append(Finding(kind, str(self.file), where, what))

    def _records(
        self, name: str, one: str, parse: Callable[[Path, int, Any], Record]
    ) -> Iterator[tuple[str, Any, Record]]:
        """(where, as written, parsed) of every record that can be parsed."""
        try:
            written = coco_json.records(self.file, self.document, name)
        except UserError as error:
            self._found("damaged-annotation", "", str(error))
            return
        for place, record in enumerate(written, start=1):
            try:
                parsed = parse(self.file, place, record)
            except UserError as error:
                self._found("damaged-annotation", f"{one} {place}", str(error))
                continue
            yield f"{one} {place}", record, parsed

    def _read_categories(self) -> None:
        for where, _, category in self._records("categories", "category", coco_json.category):
            if category.id in self.categories or category.name in self.categories.values():
                self._found("repeated-id", where, f'id {category.id}, "{category.name}" again')
            else:
                self.categories[category.id] = category.name

    def _read_images(self, root: Path, images: Path | None) -> None:
        found: dict[int, coco_json.CocoImage] = {}
        names: set[str] = set()
        for where, _, image in self._records("images", "image", coco_json.image):
            if image.id in found or str(image.name) in names:
                self._found("repeated-id", where, f"image {image.id}, {image.name} again")
            else:
                found[image.id] = image
                names.add(str(image.name))
        self.folder = (images or _image_folder(root, self.file, list(names))).absolute()
        self.unread = _unread(self.document, found.keys())
        objects = self._read_objects(found)
        split = split_of(self.file.parent.name if self.file.stem == ROBOFLOW else self.file.stem)
        splits = frozenset([split] if split else [])
        for image in found.values():
            file = self.folder / image.name
            self.images.append(SeenImage(file, self.file, image.size, tuple(objects[image.id]), splits))

    def _read_objects(self, images: dict[int, coco_json.CocoImage]) -> dict[int, list[SeenObject]]:
        """Of each image its objects; those of ``unread`` images, which are a finding themselves, are passed over."""
        unread = [record["id"] for record in self.unread]
        objects: dict[int, list[SeenObject]] = {number: [] for number in images}
        ids: set[Any] = set()
        maskless: list[str] = []
        masks = 0
        for place, record, item in self._records("annotations", "annotation", coco_json.object_record):
            where = place if "id" not in record else item.where
            self._check_id(place, record, ids)
            masks += bool(record.get("segmentation"))
            maskless += [where] if item.crowd and not record.get("segmentation") else []
            if item.image_id in unread:
                continue
            if item.image_id not in images:
                self._found("unknown-id", where, f'"image_id": expected the id of an image, found {item.image_id}')
            elif item.category_id not in self.categories:
                found = f'"category_id": expected the id of a category, found {item.category_id}'
                self._found("unknown-id", where, found)
            else:
                x1, y1, x2, y2 = item.corners
                written = (x1, y1, x2 - x1, y2 - y1)
                name = self.categories[item.category_id]
                objects[item.image_id].append(SeenObject(where, name, written, item.corners, crowd=item.crowd))
        for where in maskless if masks else []:
            self._found("crowd-without-mask", where, f"iscrowd is 1 without segmentation; {masks} others have one")
        return objects

    def _check_id(self, place: str, record: dict[str, Any], ids: set[Any]) -> None:
        if "id" not in record:
            self._found("no-id", place, 'expected "id", found none')
            return
        number = str(record["id"])
        if number in ids:
            self._found("repeated-id", place, f"annotation id {number} again")
        ids.add(number)


def _unread(document: dict[str, Any], read: AbstractSet[int]) -> list[dict[str, Any]]:
    """The records of images that bear an id and are not among those that could be read."""
    written = document.get("images")
    records = [record for record in written if isinstance(record, dict)] if isinstance(written, list) else []
    return [record for record in records if isinstance(record.get("id"), int) and record["id"] not in read]


def _image_folder(root: Path, file: Path, names: Sequence[str]) -> Path:
    """The likely folder that holds most of the named images."""
    candidates = image_folders(root, file, None)
    held = {folder: sum((folder / name).is_file() for name in names) for folder in candidates}
    return max(candidates, key=lambda folder: held[folder])
