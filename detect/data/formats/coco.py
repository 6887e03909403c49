"""COCO: one JSON file of images, categories and annotations (Lin et al., 2014).

Boxes are ``x y width height`` in the file, 0-based and continuous.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from detect.data.annotations import Annotations
from detect.data.formats import coco_json
from detect.data.formats.annotation_files import (
    NamedImages,
    annotation_file,
    beside_instances,
    coco_files,
    image_folders,
    split_name,
)
from detect.data.formats.coco_categories import choose_categories
from detect.data.formats.coco_marks import AnnotationMarks
from detect.data.formats.fractions import report_fractions
from detect.data.formats.image_index import FileIndex
from detect.data.formats.mask_json import parse_mask
from detect.data.formats.records import (
    LabeledImage,
    LabeledObject,
    LabeledSet,
    invalid_box_reason,
    outside_reason,
    to_annotations,
)
from detect.data.formats.report import Report, strict_report
from detect.data.formats.sizes import ImageSizes
from detect.data.masks import Mask, RleMask
from detect.errors import UserError
from detect.types import Size

_Record = TypeVar("_Record")


def read_coco(annotation_file: Path, images: Path | Sequence[Path], classes: Sequence[str] | None) -> Annotations:
    """Return the images of a COCO annotation file, in the file's order, including those without objects.

    images: the folder to which ``file_name`` is relative, or several folders, of which the first that contains the
    first image is used. classes None: the file's categories in the order of their ids; otherwise an object of a
    category that is not among ``classes`` is an error. A missing ``iscrowd`` is 0, a missing ``area`` is that of the
    box, and missing sizes are read from the image. Boxes without extent, or entirely outside their image, are dropped
    and reported. Raises UserError.
    """
    folders = [images] if isinstance(images, Path) else list(images)
    report = strict_report()
    named_images = NamedImages(folders, FileIndex(folders[0]), report)
    return to_annotations(CocoFile(annotation_file, named_images, report, ImageSizes()).read(), classes)


class CocoFolder:
    """Reads the COCO files of a folder.

    root: the folder, or one annotation file; images: the folder of the images, absolute or in root, None to search for
    it; report: where faults go; sizes: decides on the sizes of images; masks: whether to read segmentations.
    """

    def __init__(self, root: Path, images: Path | None, report: Report, sizes: ImageSizes, masks: bool = False) -> None:
        self.root = root.parent if root.is_file() else root
        self._files = [root] if root.is_file() else None
        self._images = images
        self._report = report
        self._sizes = sizes
        self._masks = masks
        self._index = FileIndex(self.root if images is None else self.root / images)
        self._read: list[tuple[CocoFile, NamedImages]] = []

    def split_names(self) -> list[str]:
        """Return the paths of the annotation files below the root, without suffix."""
        files = coco_files(self.root) if self._files is None else self._files
        for file in beside_instances(self.root) if self._files is None else ():
            self._report.note(
                "dialect", file, "", "not read: the boxes of its images are in instances_*.json beside it"
            )
        return [split_name(self.root, file) for file in files]

    def read_split(self, split: str) -> LabeledSet:
        """Return the images of an annotation file, named with or without its suffix, absolute or in the root."""
        file = annotation_file(self.root, split, ".json")
        named_images = NamedImages(image_folders(self.root, file, self._images), self._index, self._report, split)
        reader = CocoFile(file, named_images, self._report, self._sizes, self._masks)
        self._read.append((reader, named_images))
        return reader.read()

    def image_files(self, split: str) -> list[Path]:
        """Return the image files of an annotation file, which is not parsed: that takes ten times longer."""
        file = annotation_file(self.root, split, ".json")
        images = NamedImages(image_folders(self.root, file, self._images), self._index, self._report)
        return [images.find(name, f"an image of {file}") for name in coco_json.listed_names(file)]

    def unlisted_files(self) -> list[Path]:
        """Return nothing: an image has no labels but those of an annotation file."""
        return []

    def read_rest(self) -> tuple[LabeledImage, ...]:
        """Report the images beside those that were read which are in no annotation file; there are no other labels."""
        named = {file for reader, images in self._read for file in (*images.files, *reader.unparsed_files)}
        for _, images in self._read:
            images.report_unlabelled(named, "in no annotation file")
        return ()


@dataclass
class _Image:
    """An image of the annotation file and the objects that were added to it so far."""

    file: Path
    name: str
    declared_size: Size | None
    objects: list[LabeledObject] = field(default_factory=list)


class CocoFile:
    """Reads one annotation file.

    In addition to COCO's own keys an annotation may have VOC's ``difficult``, ``truncated``, ``occluded`` and
    ``pose``, and ``corners``, which holds ``x1 y1 x2 y2`` where ``bbox`` cannot: the last bit of x + width differs.
    """

    def __init__(self, path: Path, images: NamedImages, report: Report, sizes: ImageSizes, masks: bool = False) -> None:
        self.path = path
        self._masks = masks
        self.unparsed_files: list[Path] = []
        self._named_images = images
        self._report = report
        self._sizes = sizes

    def read(self) -> LabeledSet:
        """Return the images of the file with all their objects, valid or not. Raises UserError."""
        try:
            document = coco_json.load_document(self.path)
        except UserError as error:
            self._report.add_error("damaged-annotation", self.path, "", error)
            return LabeledSet((), {})
        parsed = self._parse_records(document, "categories", "category", coco_json.parse_category)
        categories = choose_categories(self.path, list(parsed), document.get("annotations") or [], self._report)
        images = self._read_images(document)
        self._read_annotations(document, images, categories)
        labeled = tuple(self._to_labeled_image(image_id, image) for image_id, image in images.items())
        report_fractions(labeled, self.path, self._report)
        return LabeledSet(labeled, {name: category_id for category_id, name in categories.items()})

    def _parse_records(
        self, document: dict[str, Any], key: str, singular: str, parse: Callable[[Path, int, Any], _Record]
    ) -> Iterator[tuple[str, _Record]]:
        """Yield (location, record) of every record of a list that can be parsed, and report the others."""
        try:
            records = coco_json.get_records(self.path, document, key)
        except UserError as error:
            self._report.add_error("damaged-annotation", self.path, "", error)
            return
        for index, record in enumerate(records, start=1):
            try:
                yield f"{singular} {index}", parse(self.path, index, record)
            except UserError as error:
                self._report.add_error("damaged-annotation", self.path, f"{singular} {index}", error)

    def _read_images(self, document: dict[str, Any]) -> dict[int, _Image]:
        """Return the image of each image id, in the file's order."""
        images: dict[int, _Image] = {}
        first_ids: dict[Path, int] = {}
        moved: list[tuple[str, str]] = []
        for location, image in self._parse_records(document, "images", "image", coco_json.parse_image):
            if image.id in images:
                self._report("repeated-id", self.path, location, f"expected each image id once, found {image.id} again")
                continue
            file = self._named_images.find(image.name, f"image {image.id} of {self.path}")
            moved += [(location, file.name)] if image.is_moved else []
            if first_ids.setdefault(file, image.id) != image.id:
                ids = f"{image.name} under the ids {first_ids[file]} and {image.id}"
                self._report("repeated-id", self.path, location, f"expected each image once, found {ids}")
            images[image.id] = _Image(file, image.name.as_posix(), image.size)
        if moved:
            message = f'{len(moved)} "file_name" lead out of the folder, from {moved[0][1]} on: their ends are taken'
            self._report.note("dialect", self.path, moved[0][0], message)
        return images

    def _read_annotations(
        self, document: dict[str, Any], images: dict[int, _Image], categories: dict[int, str]
    ) -> None:
        """Add each annotation to its image. Those of images that cannot be parsed, a fault already, are left out."""
        unparsed = {} if self._report.is_strict else coco_json.unparsed_images(document, images)
        self.unparsed_files = [file for name in unparsed.values() for file in self._named_images.likely_files(name)]
        marks = AnnotationMarks()
        for location, annotation in self._parse_records(
            document, "annotations", "annotation", coco_json.parse_annotation
        ):
            marks.add(location, annotation)
            image = images.get(annotation.image_id)
            if image is None:
                if annotation.image_id not in unparsed:
                    expected = f"expected the id of an image, found {annotation.image_id}"
                    self._report("unknown-id", self.path, annotation.location, f'"image_id": {expected}')
                continue
            if annotation.category_id not in categories:
                expected = f"expected the id of a category, found {annotation.category_id}"
                self._report("unknown-id", self.path, annotation.location, f'"category_id": {expected}')
                continue
            image.objects.append(
                LabeledObject(
                    location=f"{annotation.location} of {image.name}",
                    name=categories[annotation.category_id],
                    box=annotation.corners,
                    difficult=annotation.difficult,
                    crowd=annotation.crowd,
                    truncated=annotation.truncated,
                    occluded=annotation.occluded,
                    pose=annotation.pose,
                    area=annotation.area,
                    has_mask=annotation.has_mask,
                    mask=self._parse_mask(annotation) if self._masks else None,
                )
            )
        marks.report(self.path, self._report)
        num_ignored = coco_json.count_ignored(document)
        if num_ignored:
            taken = f'{num_ignored} objects have "ignore": 1, and are objects as any other, as for pycocotools'
            self._report.note("dialect", self.path, "", f'{taken}: set "iscrowd": 1 to ignore them')

    def _parse_mask(self, annotation: coco_json.CocoAnnotation) -> Mask | None:
        """Return the mask of an annotation; None without one, and after noting that it cannot be read."""
        try:
            return parse_mask(annotation.location, annotation.segmentation)
        except UserError as error:
            message = str(error).removeprefix(f"{annotation.location}: ")
            self._report.note("damaged-mask", self.path, annotation.location, message)
            return None

    def _to_labeled_image(self, image_id: int, image: _Image) -> LabeledImage:
        """Return an image whose boxes and run lengths are judged by its size."""
        size = self._size(image)
        for index, instance in enumerate(image.objects):
            reason = invalid_box_reason(instance.box) or outside_reason(instance.box, size)
            mask = self._fitting_mask(instance, size)
            if reason is not None or mask is not instance.mask:
                image.objects[index] = instance._replace(invalid_reason=reason, mask=mask)
        return LabeledImage(
            file=image.file,
            name=image.name,
            label_file=self.path,
            size=size,
            image_id=image_id,
            objects=tuple(image.objects),
            declared_size=image.declared_size,
        )

    def _size(self, image: _Image) -> Size | None:
        """Return the (h, w) of an image; the image file decides where run lengths have another than the file states."""
        size = self._sizes.size(image.file, image.declared_size, (instance.box for instance in image.objects))
        if all(instance.mask.size == size for instance in image.objects if isinstance(instance.mask, RleMask)):
            return size
        return replace(self._sizes, trust_claims=False).size(image.file, image.declared_size, ())

    def _fitting_mask(self, instance: LabeledObject, size: Size | None) -> Mask | None:
        """Return the mask of an object; None, after noting it, for run lengths of another ``size`` (h, w)."""
        mask = instance.mask
        if not isinstance(mask, RleMask) or size in (None, mask.size):
            return mask
        expected = (
            f"expected run lengths of {size[1]} x {size[0]}, the image's size, found {mask.size[1]} x {mask.size[0]}"
        )
        self._report.note("damaged-mask", self.path, instance.location, expected)
        return None
