"""A folder with the files that an annotation tool exports: CVAT's XML, or Label Studio's JSON.

Each file is a split; if there is one file only and it states the splits of its images, these are. The images are those
that the file names, found as those of COCO's files are.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from detect.data.formats.annotation_files import NamedImages, annotation_file, image_folders, split_name
from detect.data.formats.fractions import report_fractions
from detect.data.formats.image_index import FileIndex
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
from detect.data.formats.tool_labels import RECTANGLE, Tool, ToolFile, ToolImage, ToolShape
from detect.data.masks import Mask, union
from detect.errors import UserError, did_you_mean
from detect.system.files import require_folder
from detect.types import Size

DEFAULT_SUBSET = "default"  # CVAT's own name for the images of none


class ToolFolder:
    """Reads the exported files of a tool in a folder.

    images: the folder of the images, absolute or in root, None to search for it; report: where faults go; sizes:
    decides on the sizes of images; masks: whether to read polygons and masks. Raises UserError if there is no such
    folder.
    """

    def __init__(
        self, tool: Tool, root: Path, images: Path | None, report: Report, sizes: ImageSizes, masks: bool = False
    ) -> None:
        self.root = require_folder(root, f"a folder with files of {tool.title}")
        self._tool = tool
        self._images = images
        self._report = report
        self._sizes = sizes
        self._masks = masks
        self._index = FileIndex(root if images is None else root / images)
        self._contents: dict[Path, ToolFile] = {}
        self._read: list[NamedImages] = []

    def split_names(self) -> list[str]:
        """Return the splits that the only file states, else the paths of the files below the root, without suffix."""
        files = self._tool.list_files(self.root)
        return self._subsets(files) or [split_name(self.root, file) for file in files]

    def read_split(self, split: str) -> LabeledSet:
        """Return the images of a split with all their objects, valid or not. Raises UserError."""
        file, members = self._members(split)
        named = NamedImages(image_folders(self.root, file, self._images), self._index, self._report, split)
        self._read.append(named)
        self._report_unlabeled(file, named)
        files = [named.find(image.path, f"{image.location} of {file}") for image in members]
        names = [self._name(path) for path in files]
        labeled: list[LabeledImage] = []
        shapes: list[ToolShape] = []
        first_locations: dict[Path, str] = {}
        for image, path, name, image_id in zip(members, files, names, image_ids(names), strict=True):
            first = first_locations.setdefault(path, image.location)
            if first != image.location:
                self._report("repeated-id", file, image.location, f"expected each image once, found {name} in {first}")
            drawn, size = self._shapes(file, image, path)
            shapes += drawn
            labeled.append(
                LabeledImage(
                    file=path,
                    name=name,
                    label_file=file,
                    size=size,
                    image_id=image_id,
                    objects=tuple(self._to_labeled_object(file, shape, size) for shape in drawn if shape.box),
                    declared_size=image.declared_size,
                )
            )
        self._note_shapes(file, shapes, sum(image.num_unread for image in members))
        report_fractions(labeled, file, self._report)
        return LabeledSet(tuple(labeled), self._categories(file, shapes))

    def image_files(self, split: str) -> list[Path]:
        """Return the image files of a split."""
        file, members = self._members(split)
        named = NamedImages(image_folders(self.root, file, self._images), self._index, self._report)
        return [named.find(image.path, f"{image.location} of {file}") for image in members]

    def unlisted_files(self) -> list[Path]:
        """Return nothing: an image has no labels but those of an exported file."""
        return []

    def read_rest(self) -> tuple[LabeledImage, ...]:
        """Report the images beside those that were read which are in no file; there are no other labels."""
        named = {file for images in self._read for file in images.files}
        for images in self._read:
            images.report_unlabelled(named, f"in no file of {self._tool.title}")
        return ()

    def _report_unlabeled(self, file: Path, named: NamedImages) -> None:
        """Report the images of a file that nobody labelled, by their own files where these are there."""
        for location, path, reason in self._content(file).unlabeled:
            image = None if path is None else named.find_unlabeled(path)
            self._report("unlabelled-image", image or file, "", f"{location} of {file.name}: {reason}")

    def _content(self, file: Path) -> ToolFile:
        """Return the content of a file, which is parsed once; an empty one after reporting that it is damaged."""
        if file not in self._contents:
            try:
                self._contents[file] = self._tool.read_file(file, self._report)
            except UserError as error:
                self._report.add_error("damaged-annotation", file, "", error)
                self._contents[file] = ToolFile((), None)
        return self._contents[file]

    def _subsets(self, files: Sequence[Path]) -> list[str]:
        """Return the splits that the images of the only file state; none where they state fewer than two."""
        if len(files) != 1 or not self._tool.has_subsets:
            return []
        names = dict.fromkeys(image.subset or DEFAULT_SUBSET for image in self._content(files[0]).images)
        return list(names) if len(names) > 1 else []

    def _members(self, split: str) -> tuple[Path, list[ToolImage]]:
        """Return the file of a split and the images in it. Raises UserError if there is no such split."""
        files = self._tool.list_files(self.root)
        if split in self._subsets(files):
            images = self._content(files[0]).images
            return files[0], [image for image in images if (image.subset or DEFAULT_SUBSET) == split]
        file = annotation_file(self.root, split, self._tool.suffix)
        if not file.is_file():
            names = self.split_names()
            known = f"nothing{did_you_mean(split, names)}; splits: {', '.join(names) or 'none'}"
            raise UserError(f"{file}: expected a file of {self._tool.title}, found {known}")
        return file, list(self._content(file).images)

    def _name(self, file: Path) -> str:
        """Return the path of an image below the folder of images; the name alone outside it."""
        return self._index.name(file) if file.is_relative_to(self._index.root) else file.name

    def _shapes(self, file: Path, image: ToolImage, path: Path) -> tuple[list[ToolShape], Size | None]:
        """Return the shapes of an image and its size (h, w), by which they are scaled; report those without a box."""

        def report_shape(location: str, error: UserError) -> None:
            self._report.add_error("damaged-annotation", file, location, error)

        claim = image.declared_size
        shapes = image.shapes(claim, report_shape)
        boxes = [shape.box for shape in shapes if shape.box is not None]
        size = self._sizes.size(path, claim, boxes)
        if size != claim:
            shapes = image.shapes(size, report_shape)
        for shape in shapes:
            if shape.box is None:
                self._report("no-box", file, shape.location, f"{shape.name}: a {shape.kind}")
            if shape.num_labels > 1:
                message = f"{shape.num_labels} labels, of which {shape.name} is taken"
                self._report("two-classes", file, shape.location, message)
        return shapes, size

    def _to_labeled_object(self, file: Path, shape: ToolShape, size: Size | None) -> LabeledObject:
        """Return the object of a shape that has a box, in an image of ``size`` (h, w)."""
        assert shape.box is not None
        return LabeledObject(
            location=shape.location,
            name=shape.name,
            box=shape.box,
            invalid_reason=invalid_box_reason(shape.box) or outside_reason(shape.box, size),
            difficult=shape.difficult,
            crowd=shape.crowd,
            truncated=shape.truncated,
            occluded=shape.occluded,
            has_mask=bool(shape.parts),
            mask=self._mask(file, shape, size) if self._masks else None,
        )

    def _mask(self, file: Path, shape: ToolShape, size: Size | None) -> Mask | None:
        """Return the mask of a shape in an image of ``size`` (h, w); None where it has none, or none that is read."""
        if size is None or not shape.parts:
            return None
        try:
            return union([draw(size) for draw in shape.parts], size)
        except ValueError as error:
            self._report.note("damaged-mask", file, shape.location, f"{shape.name}: {error}")
            return None

    def _note_shapes(self, file: Path, shapes: Sequence[ToolShape], num_unread: int) -> None:
        """Note how many shapes were no upright rectangles, how many were joined, and what is not read."""
        boxed = [shape for shape in shapes if shape.box is not None]
        kinds = Counter(shape.kind for shape in boxed if shape.kind != RECTANGLE)
        kinds["turned rectangle"] = sum(shape.turned for shape in boxed)
        counts = [f"{count} x {kind}" for kind, count in kinds.items() if count]
        joined = sum(len(shape.parts) - 1 for shape in boxed if shape.parts)
        notes = [f"of {len(boxed)} objects the box around {', '.join(counts)}"] if counts else []
        notes += [f"{joined} outlines are parts of another one with their label and group"] if joined else []
        notes += [f"{num_unread} labels, attributes or answers of images or regions are not read"] if num_unread else []
        if notes:
            self._report.note("dialect", file, "", "; ".join(notes))

    def _categories(self, file: Path, shapes: Sequence[ToolShape]) -> dict[str, int] | None:
        """Return the id of each label that the file lists, from 1, and of others that its objects have."""
        listed = self._content(file).classes
        if listed is None:
            return None
        names = dict.fromkeys(itertools.chain(listed, (shape.name for shape in shapes if shape.box is not None)))
        return {name: index for index, name in enumerate(names, start=1)}
