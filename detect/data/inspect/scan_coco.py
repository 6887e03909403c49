"""Scans COCO annotation files to their end, whatever faults they contain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeVar

from detect.data.formats import coco_json
from detect.data.formats.detect_format import ROBOFLOW, coco_files
from detect.data.formats.split_names import guess_split
from detect.data.images import is_image
from detect.data.inspect.findings import DatasetFinding
from detect.data.inspect.scan_records import FolderScan, RawImage, RawObject
from detect.data.sources import image_folders
from detect.errors import UserError
from detect.system.files import require_folder

Record = TypeVar("Record")


def scan_coco(root: Path, images: Path | None = None) -> FolderScan:
    """Return the content of every COCO file in ``root`` or its ``annotations``, and of their image folders.

    images: the folder of the images; None takes the likely folder with most of the named images. Raises UserError if
    there is no annotation file.
    """
    files = _annotation_files(root)
    scans = [_FileScan(file, root, images) for file in files]
    findings = [finding for scan in scans for finding in scan.findings]
    image_files = tuple(image for scan in scans for image in scan.images)
    unparsed = {scan.folder / str(record.get("file_name")) for scan in scans for record in scan.unparsed}
    named = {image.file for image in image_files} | unparsed
    folders = {scan.folder for scan in scans}
    for file in sorted({file for folder in folders for file in folder.glob("*") if is_image(file)}):
        if file not in named:
            findings.append(DatasetFinding("unlabelled-image", str(file), "", "in no annotation file"))
    classes = dict.fromkeys(name for scan in scans for name in scan.categories.values())
    return FolderScan("coco", root, image_files, tuple(classes), tuple(findings))


def _annotation_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    require_folder(root, "a folder with COCO's annotation files, or one of them")
    files = coco_files(root)
    if not files:
        raise UserError(f"{root}: expected a COCO annotation file (.json) in it or in its annotations, found none")
    return files


class _FileScan:
    """The content of one annotation file. A fault becomes a finding, and the scan continues.

    folder: of its images; unparsed: the records of images that have an id but cannot be parsed.
    """

    def __init__(self, file: Path, root: Path, images: Path | None) -> None:
        self.file = file
        self.findings: list[DatasetFinding] = []
        self.images: list[RawImage] = []
        self.categories: dict[int, str] = {}
        self.folder = images or root
        self.unparsed: list[dict[str, Any]] = []
        try:
            self.document = coco_json.load_document(file)
        except UserError as error:
            self._report("damaged-annotation", "", str(error))
            return
        self._read_categories()
        self._read_images(root if root.is_dir() else root.parent, images)

    def _report(self, kind: str, location: str, message: str) -> None:
        message = message.removeprefix(f"{self.file}: ").removeprefix(f"{location}: ")
        self.findings.append(DatasetFinding(kind, str(self.file), location, message))

    def _parse_records(
        self, key: str, singular: str, parse: Callable[[Path, int, Any], Record]
    ) -> Iterator[tuple[str, Any, Record]]:
        """Yield (location, raw record, parsed record) of every record that can be parsed."""
        try:
            records = coco_json.get_records(self.file, self.document, key)
        except UserError as error:
            self._report("damaged-annotation", "", str(error))
            return
        for position, record in enumerate(records, start=1):
            location = f"{singular} {position}"
            try:
                parsed = parse(self.file, position, record)
            except UserError as error:
                self._report("damaged-annotation", location, str(error))
                continue
            yield location, record, parsed

    def _read_categories(self) -> None:
        for location, _, category in self._parse_records("categories", "category", coco_json.parse_category):
            if category.id in self.categories or category.name in self.categories.values():
                self._report("repeated-id", location, f'id {category.id}, "{category.name}" again')
            else:
                self.categories[category.id] = category.name

    def _read_images(self, root: Path, images: Path | None) -> None:
        parsed: dict[int, coco_json.CocoImage] = {}
        names: set[str] = set()
        for location, _, image in self._parse_records("images", "image", coco_json.parse_image):
            if image.id in parsed or str(image.name) in names:
                self._report("repeated-id", location, f"image {image.id}, {image.name} again")
            else:
                parsed[image.id] = image
                names.add(str(image.name))
        self.folder = (images or _image_folder(root, self.file, list(names))).absolute()
        self.unparsed = _unparsed_images(self.document, parsed.keys())
        objects = self._read_objects(parsed)
        split = guess_split(self.file.parent.name if self.file.stem == ROBOFLOW else self.file.stem)
        splits = frozenset([split] if split else [])
        for image in parsed.values():
            file = self.folder / image.name
            self.images.append(RawImage(file, self.file, image.size, tuple(objects[image.id]), splits))

    def _read_objects(self, images: dict[int, coco_json.CocoImage]) -> dict[int, list[RawObject]]:
        """Return the objects of each image id. Objects of unparsed images, which are a finding already, are ignored."""
        unparsed_ids = [record["id"] for record in self.unparsed]
        objects: dict[int, list[RawObject]] = {image_id: [] for image_id in images}
        ids: set[Any] = set()
        crowds_without_mask: list[str] = []
        num_masks = 0
        for record_location, record, instance in self._parse_records(
            "annotations", "annotation", coco_json.parse_annotation
        ):
            location = record_location if "id" not in record else instance.location
            self._check_id(record_location, record, ids)
            num_masks += bool(record.get("segmentation"))
            crowds_without_mask += [location] if instance.crowd and not record.get("segmentation") else []
            if instance.image_id in unparsed_ids:
                continue
            if instance.image_id not in images:
                self._report(
                    "unknown-id", location, f'"image_id": expected the id of an image, found {instance.image_id}'
                )
            elif instance.category_id not in self.categories:
                message = f'"category_id": expected the id of a category, found {instance.category_id}'
                self._report("unknown-id", location, message)
            else:
                x1, y1, x2, y2 = instance.corners
                raw_numbers = (x1, y1, x2 - x1, y2 - y1)
                name = self.categories[instance.category_id]
                objects[instance.image_id].append(
                    RawObject(location, name, raw_numbers, instance.corners, crowd=instance.crowd)
                )
        for location in crowds_without_mask if num_masks else []:
            self._report(
                "crowd-without-mask", location, f"iscrowd is 1 without segmentation; {num_masks} others have one"
            )
        return objects

    def _check_id(self, location: str, record: dict[str, Any], ids: set[Any]) -> None:
        if "id" not in record:
            self._report("no-id", location, 'expected "id", found none')
            return
        annotation_id = str(record["id"])
        if annotation_id in ids:
            self._report("repeated-id", location, f"annotation id {annotation_id} again")
        ids.add(annotation_id)


def _unparsed_images(document: dict[str, Any], parsed: AbstractSet[int]) -> list[dict[str, Any]]:
    """Return the records of images that have an id which is not among those of the parsed images."""
    entries = document.get("images")
    records = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [record for record in records if isinstance(record.get("id"), int) and record["id"] not in parsed]


def _image_folder(root: Path, file: Path, names: Sequence[str]) -> Path:
    """Return the likely folder with most of the named images."""
    candidates = image_folders(root, file, None)
    counts = {folder: sum((folder / name).is_file() for name in names) for folder in candidates}
    return max(candidates, key=lambda folder: counts[folder])
