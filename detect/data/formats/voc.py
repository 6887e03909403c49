"""PASCAL VOC: an XML file for each image, and lists of the images of each split (Everingham et al., 2010).

Corners are 1-based and inclusive in the file, so ``xmin ymin xmax ymax`` become ``(xmin - 1, ymin - 1, xmax, ymax)``.
A devkit folder has Annotations, JPEGImages and ImageSets/Main with a list for each split. Without ImageSets there is
one split, of every image that has an XML file anywhere below the folder (``image_index.py`` says which belong
together). If images lie in folders named for splits, like Roboflow's train, valid and test, each is a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from detect.data.annotations import Annotations
from detect.data.formats.fractions import report_fractions
from detect.data.formats.image_index import has_file, last_part
from detect.data.formats.records import (
    LabeledImage,
    LabeledObject,
    LabeledSet,
    image_ids,
    invalid_box_reason,
    outside_reason,
    to_annotations,
)
from detect.data.formats.report import Report, strict_report
from detect.data.formats.sizes import ImageSizes
from detect.data.formats.split_names import ONLY_SPLIT, group_by_split_folder
from detect.data.formats.voc_lists import SPLIT_FOLDER, lists_below, read_split_file, split_file_names, xml_finder
from detect.data.formats.voc_masks import mask_file, with_masks
from detect.data.formats.voc_pairs import Pair, VocPairs
from detect.data.formats.voc_xml import VocAnnotations, VocObject, refuse_cvat
from detect.data.images import is_image
from detect.errors import UserError, did_you_mean
from detect.system.files import require_folder
from detect.types import Size


def read_voc(root: Path, split: str, classes: Sequence[str] | None) -> Annotations:
    """Return the images of a split: of ``ImageSets/Main/<split>.txt``, else of a folder of that name, else all images.

    classes None: the names in those images, sorted. A split file for one class (``cat_train``: a second column of -1, 0
    or 1) gives all its images. Boxes may reach outside the image; those without extent, or entirely outside, are
    dropped and reported. Parts of objects are ignored. The image id is the number in the file name if every name of the
    split is a number, else the index from 1 in the split. Raises UserError.
    """
    return to_annotations(VocFolder(root, strict_report(), ImageSizes()).read_split(split), classes)


class VocFolder:
    """Reads the images of a VOC folder.

    report: where faults go; sizes: decides on the sizes of images; masks: whether to read SegmentationObject. Raises
    UserError if there is no such folder.
    """

    def __init__(self, root: Path, report: Report, sizes: ImageSizes, masks: bool = False) -> None:
        self.root = require_folder(root, "a VOC folder").absolute()
        self._report = report
        self._sizes = sizes
        self._masks = masks
        self._has_lists = self.root.joinpath(*SPLIT_FOLDER).is_dir()
        self._annotations = VocAnnotations(report)
        self._pairs = VocPairs(self.root, report, self._annotations.read, self._has_lists)
        self._find_xml = xml_finder(self.root, self._pairs.xmls)
        self._images: dict[Path, LabeledImage] = {}
        self._members: dict[str, list[Pair]] = {}
        self._lists: dict[str, list[Path]] = {}

    def split_names(self) -> list[str]:
        """Return the names of the splits, without those for one class."""
        if self._has_lists:
            return split_file_names(self.root)
        return list(self._split_folders) or ([ONLY_SPLIT] if self._pairs.all else [])

    def read_split(self, split: str) -> LabeledSet:
        """Return the images of a split with all their objects, valid or not. Raises UserError."""
        if split not in self._members:
            self._members[split] = self._find_members(split)
            if not self._has_lists:
                self._pairs.report_unlabelled(())
                self._report_unread_lists()
        return self._to_set(self._members[split])

    def image_files(self, split: str) -> list[Path]:
        """Return the image files of a split, as quickly as they can be listed without their labels."""
        if not self._has_lists:
            return [image for image, _ in self._find_members(split)]
        return [self._pairs.likely_image(xml) for xml in self._listed_xmls(split)]

    def unlisted_files(self) -> list[Path]:
        """Return the image files that have an XML file and are in no split, as quickly as they can be listed."""
        if not self._has_lists:
            grouped = {pair for pairs in self._split_folders.values() for pair in pairs}
            return [pair[0] for pair in self._pairs.all if grouped and pair not in grouped]
        listed = {xml for name in self.split_names() for xml in self._listed_xmls(name)}
        if self._pairs.are_all(listed):
            return []
        images = (self._pairs.likely_image(xml) for xml in self._pairs.xmls.files if xml not in listed)
        return [image for image in images if has_file(image)]

    def read_rest(self) -> tuple[LabeledImage, ...]:
        """Return the images that have an XML file but are in no split that was read, and report them.

        Images without an XML file are reported too. A strict reader returns none.
        """
        refuse_cvat(self.root)
        members = [pair for pairs in self._members.values() for pair in pairs]
        listed = {xml.absolute() for _, xml in members}
        rest = [pair for pair in self._pairs.all if pair[1] not in listed]
        for image, xml in rest:
            if image.is_file():
                self._report("unlisted", xml, "", "in no split")
        expected = set(map(self._pairs.likely_image, {xml for xmls in self._lists.values() for xml in xmls}))
        self._pairs.report_unlabelled(expected | {image for image, _ in members})
        return () if self._report.is_strict else self._to_set(rest).images

    def _report_unread_lists(self) -> None:
        """Report the lists of folders below the root, whose images are read but split by folders or by a hash."""
        for folder, names in lists_below(self.root).items():
            source = f"{{root: {folder.parent.parent}, list: {names[0]}}}"
            cure = f"to use them give {folder.parent.parent} as the root, or name lists by data.train=[{source}, ...]"
            self._report("unread-lists", folder, "", f"{', '.join(names[:5])}: {cure}")

    def _find_members(self, split: str) -> list[Pair]:
        """Return the images of a split with their XML files. Raises UserError."""
        if self._has_lists or (split != ONLY_SPLIT and not self._split_folders):
            return self._listed_pairs(split)
        pairs = self._pairs.all
        if self._split_folders:
            if split not in self._split_folders:
                known = f"nothing{did_you_mean(split, self._split_folders)}; splits: {', '.join(self._split_folders)}"
                raise UserError(f"{self.root / split}: expected a folder of images with XML files, found {known}")
            return self._split_folders[split]
        if not pairs:
            refuse_cvat(self.root)
            raise UserError(f"{self.root}: expected Annotations, or images with an XML file beside each, found neither")
        return pairs

    def _listed_pairs(self, split: str) -> list[Pair]:
        """Return the images that a list names, with their XML files."""
        pairs = []
        for xml in self._listed_xmls(split):
            image = self._images[xml].file if xml in self._images else self._find_image(xml)
            pairs += [] if image is None else [(image, xml)]
        return pairs

    def _listed_xmls(self, split: str) -> list[Path]:
        """Return the XML file of each image that a list names; the list is read once."""
        if split not in self._lists:
            self._lists[split] = read_split_file(self.root, split, self._find_xml, self._report)
        return self._lists[split]

    def _find_image(self, xml: Path) -> Path | None:
        """Return the image of a listed XML file, which may be damaged; None if there is no XML file."""
        annotation = self._annotations.read(xml)
        return self._pairs.find_image(xml, annotation) if annotation is not None or xml.is_file() else None

    @cached_property
    def _split_folders(self) -> dict[str, list[Pair]]:
        """The images of each split that the folders of images show; none if there are lists."""
        if self._has_lists:
            return {}
        return group_by_split_folder({pair: self._pairs.images.key(pair[0])[:-1] for pair in self._pairs.all})

    def _to_set(self, pairs: Sequence[Pair]) -> LabeledSet:
        """Return the images of a split, numbered."""
        names = [self._pairs.images.name(image) for image, _ in pairs]
        first_xml: dict[Path, Path] = {}
        for image, xml in pairs:
            if first_xml.setdefault(image, xml) != xml:
                self._report(
                    "ambiguous-image", xml, "", f"expected an image of its own, found that of {first_xml[image]}"
                )
        images = (
            replace(self._read_image(image, xml, name), image_id=image_id)
            for (image, xml), name, image_id in zip(pairs, names, image_ids(names), strict=True)
        )
        labeled = tuple(images)
        report_fractions(labeled, self.root, self._report)
        return LabeledSet(labeled)

    def _read_image(self, image: Path, xml: Path, name: str) -> LabeledImage:
        """Return an image with the objects of its XML file, read once for all splits."""
        if xml not in self._images:
            annotation = self._annotations.take(xml)
            self._report_other_image(image, xml, annotation.file_name)
            size = self._sizes.size(image, annotation.size, (voc_object.box for voc_object in annotation.objects))
            objects = [self._to_labeled_object(xml, voc_object, size) for voc_object in annotation.objects]
            labeled = [instance for instance in objects if instance is not None]
            if self._masks:
                labeled = with_masks(labeled, mask_file(self.root, xml), size, self._report)
            self._images[xml] = LabeledImage(
                file=image,
                name=name,
                label_file=xml,
                size=size,
                image_id=0,
                objects=tuple(labeled),
                declared_size=annotation.size,
            )
        return self._images[xml]

    def _report_other_image(self, image: Path, xml: Path, file_name: str) -> None:
        """Report an XML file that names another image than the one of its own name, which no other XML file has."""
        name, stem = last_part(file_name)
        if not name or stem == image.stem or has_file(xml.with_name(f"{stem}.xml")):
            return
        other = image.with_name(name)
        if image.stem == xml.stem and is_image(other) and has_file(other):
            message = f"expected one image, found {image.name} by its own name and {other.name} in <filename>"
            self._report("ambiguous-image", xml, "", message)

    def _to_labeled_object(self, xml: Path, voc_object: VocObject, size: Size | None) -> LabeledObject | None:
        """Return the object with the reason if its box is invalid in an image of ``size`` (h, w).

        None after reporting one that is deleted or has no name.
        """
        location = f"object {voc_object.index}"
        if voc_object.deleted:
            self._report("no-object", xml, location, f"{voc_object.name}: <deleted>")
            return None
        if not voc_object.name:
            self._report("damaged-annotation", xml, location, "expected a <name>, found none")
            return None
        if voc_object.num_boxes > 1:
            self._report("second-box", xml, location, f"{voc_object.name}: {voc_object.num_boxes} <bndbox>")
        if voc_object.shape and not voc_object.num_boxes:
            self._report.note("dialect", xml, location, f"the box is the one around its <{voc_object.shape}>")
        if voc_object.turned:
            self._report.note("dialect", xml, location, "the box is the one around its <bndbox> turned by its rotation")
        return LabeledObject(
            location=location,
            name=voc_object.name,
            box=voc_object.box,
            invalid_reason=_invalid_reason(voc_object, size),
            difficult=voc_object.difficult,
            crowd=voc_object.crowd,
            truncated=voc_object.truncated,
            occluded=voc_object.occluded,
            pose=voc_object.pose,
            has_mask=bool(voc_object.shape),
            own_numbers=voc_object.corners,
        )


def _invalid_reason(voc_object: VocObject, size: Size | None) -> str | None:
    """Return why the object's box cannot be used in an image of ``size`` (h, w); None if it can."""
    if not voc_object.complete:
        return "no complete <bndbox>"
    return invalid_box_reason(voc_object.corners) or outside_reason(voc_object.box, size)
