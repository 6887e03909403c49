"""LabelMe: a JSON file for each image, with rectangles, polygons and other shapes (Russell et al., 2008).

The image is the one that ``imagePath`` names, from the folder of the JSON file; else the one that ``image_index.py``
finds. If all images lie in folders named for a split, each is a split; otherwise there is one, of all labelled images.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cached_property
from pathlib import Path

from detect.data.formats.fractions import report_fractions
from detect.data.formats.image_index import FileIndex, has_file, listed_path
from detect.data.formats.labelme_json import NO_OBJECTS, LabelMeFile, LabelMeShape, is_labelme, read_labelme
from detect.data.formats.labelme_masks import shape_mask
from detect.data.formats.records import (
    LabeledImage,
    LabeledObject,
    LabeledSet,
    image_ids,
    invalid_box_reason,
    outside_reason,
)
from detect.data.formats.report import Report
from detect.data.formats.sizes import ImageSizes
from detect.data.formats.split_names import ONLY_SPLIT, group_by_split_folder
from detect.data.images import is_image
from detect.data.masks import Mask
from detect.errors import UserError, did_you_mean
from detect.system.files import require_folder
from detect.types import Size


class LabelMeFolder:
    """Reads the images of a folder with LabelMe's files.

    report: where faults go; sizes: decides on the sizes of images; masks: whether to read the outlines of shapes.
    Raises UserError if there is no such folder.
    """

    def __init__(self, root: Path, report: Report, sizes: ImageSizes, masks: bool = False) -> None:
        self.root = require_folder(root, "a folder with LabelMe's JSON files").absolute()
        self._report = report
        self._sizes = sizes
        self._masks = masks
        self._index = FileIndex(self.root)
        self._jsons = FileIndex(self.root, is_json)

    def split_names(self) -> list[str]:
        """Return the folders that are splits, else the only split; none without labelled images."""
        return list(self._split_folders) or ([ONLY_SPLIT] if self._labelled else [])

    def image_files(self, split: str) -> list[Path]:
        """Return the labelled images of a split. Raises UserError if there is no such split."""
        if self._split_folders and split in self._split_folders:
            return self._split_folders[split]
        if split == ONLY_SPLIT and not self._split_folders:
            return list(self._labelled)
        known = f"nothing{did_you_mean(split, self.split_names())}; splits: {', '.join(self.split_names())}"
        raise UserError(f"{self.root / split}: expected a folder of images with JSON files, found {known}")

    def unlisted_files(self) -> list[Path]:
        """Return nothing: every labelled image is in a split."""
        return []

    def read_split(self, split: str) -> LabeledSet:
        """Return the images of a split with all their objects, valid or not. Raises UserError."""
        members = self.image_files(split)
        if not members:
            raise UserError(f"{self.root}: expected images with a JSON file of LabelMe for each, found none")
        for image in self._index.files:
            if image not in self._labelled:
                self._report("unlabelled-image", image, "", "no JSON file")
        self._note_shapes(split, [self._labelled[image][1] for image in members])
        names = [self._name(image) for image in members]
        labeled = tuple(
            self._read_image(image, name, image_id)
            for image, name, image_id in zip(members, names, image_ids(names), strict=True)
        )
        report_fractions(labeled, self.root, self._report)
        return LabeledSet(labeled)

    def read_rest(self) -> tuple[LabeledImage, ...]:
        """Return nothing: every labelled image is in a split."""
        return ()

    @cached_property
    def _labelled(self) -> dict[Path, tuple[Path, LabelMeFile]]:
        """The JSON file and its content for each image, in the order of the JSON files."""
        for link in self._index.links:
            self._report.note("unread-link", link, "", "a linked folder is not searched")
        labelled: dict[Path, tuple[Path, LabelMeFile]] = {}
        for file in self._jsons.files:
            has_image = any(self._index.key(image) == self._index.key(file) for image in self._index.find(file))
            if not is_labelme(file) and not has_image:
                continue
            content = self._read_file(file)
            image = self._find_image(file, content.image_path) if content is not None else None
            if image is None or content is None:
                continue
            if image in labelled:
                message = f"expected an image of its own, found {image.name}, that of {labelled[image][0]}"
                self._report("ambiguous-image", file, "", message)
            labelled.setdefault(image, (file, content))
        return labelled

    def _read_file(self, file: Path) -> LabelMeFile | None:
        """Return the content of a JSON file; None after reporting that it is damaged."""

        def report_shape(location: str, error: UserError) -> None:
            self._report.add_error("damaged-annotation", file, location, error)

        try:
            return read_labelme(file, report_shape)
        except UserError as error:
            self._report.add_error("damaged-annotation", file, "", error)
            return None

    def _find_image(self, file: Path, image_path: str) -> Path | None:
        """Return the image of a JSON file; None after reporting that it is missing."""
        name = listed_path(image_path)
        named = Path(os.path.normpath(file.parent / name))
        if image_path and is_image(named) and has_file(named):
            return named
        matches = self._index.find(file) or (self._index.find_named(name) if image_path else [])
        matches = [image for image in matches if image.name == name.name] or matches
        if not matches:
            kind, actual = "missing-image", f"found nothing at {image_path or file.stem}"
            if has_file(named):
                kind, actual = "unread-kind", f"found {named.name}, a kind of file that is not read"
            self._report(kind, file, "imagePath", f"expected the image of {file.name}, {actual}")
            return None
        if len(matches) > 1:
            names = " and ".join(image.relative_to(self.root).as_posix() for image in matches[:3])
            self._report("ambiguous-image", file, "imagePath", f"expected one image, found {names}")
        return matches[0]

    @cached_property
    def _split_folders(self) -> dict[str, list[Path]]:
        """The images of each split that the folders of images show; none if they show no splits."""
        return group_by_split_folder({image: self._folders(image) for image in self._labelled})

    def _folders(self, image: Path) -> tuple[str, ...]:
        """Return the folders that lead to an image from the root; none for an image outside it."""
        return self._index.key(image)[:-1] if image.is_relative_to(self.root) else ()

    def _name(self, image: Path) -> str:
        """Return the path below the root, without folders such as images; the name alone outside the root."""
        return self._index.name(image) if image.is_relative_to(self.root) else image.name

    def _note_shapes(self, split: str, files: list[LabelMeFile]) -> None:
        """Note how many shapes of a split were no rectangles, and how many were joined by their group."""
        every = (shape for file in files for shape in file.shapes)
        shapes = [shape for shape in every if shape.box is not None and shape.name not in NO_OBJECTS]
        kinds = Counter(shape.kind for shape in shapes if shape.kind != "rectangle")
        parts = [f"{count} x {kind}" for kind, count in kinds.items()]
        joined = sum(shape.num_parts - 1 for shape in shapes)
        notes = [f"of {len(shapes)} objects the box around {', '.join(parts)}"] if parts else []
        notes += [f"{joined} shapes are parts of another one with their label and group_id"] if joined else []
        if notes:
            self._report.note("dialect", self.root, split, "; ".join(notes))

    def _read_image(self, image: Path, name: str, image_id: int) -> LabeledImage:
        """Return an image with the objects of its JSON file."""
        file, content = self._labelled[image]
        boxes = [shape.box for shape in content.shapes if shape.box is not None]
        size = self._sizes.size(image, content.size, boxes)
        objects = [self._to_labeled_object(file, shape, size) for shape in content.shapes]
        return LabeledImage(
            file=image,
            name=name,
            label_file=file,
            size=size,
            image_id=image_id,
            objects=tuple(instance for instance in objects if instance is not None),
            declared_size=content.size,
        )

    def _to_labeled_object(self, file: Path, shape: LabelMeShape, size: Size | None) -> LabeledObject | None:
        """Return the object of a shape in an image of ``size`` (h, w).

        None after reporting one that is no object or has no box.
        """
        if shape.name in NO_OBJECTS:
            self._report("no-object", file, shape.location, shape.name)
            return None
        if shape.box is None:
            self._report("no-box", file, shape.location, f"{shape.name}: a {shape.kind}")
            return None
        return LabeledObject(
            location=shape.location,
            name=shape.name,
            box=shape.box,
            invalid_reason=invalid_box_reason(shape.box) or outside_reason(shape.box, size),
            difficult=shape.difficult,
            has_mask=shape.has_mask,
            mask=self._mask(file, shape, size) if self._masks else None,
        )

    def _mask(self, file: Path, shape: LabelMeShape, size: Size | None) -> Mask | None:
        """Return the mask of a shape in an image of ``size`` (h, w); None where it has none, or none that is read."""
        if size is None or not shape.has_mask:
            return None
        try:
            return shape_mask(shape.outlines, size)
        except ValueError as error:
            self._report.note("damaged-mask", file, shape.location, f"{shape.name}: {error}")
            return None


def is_json(path: Path) -> bool:
    """Return True for a JSON file by its name."""
    return path.suffix.lower() == ".json" and not path.name.startswith(".")
