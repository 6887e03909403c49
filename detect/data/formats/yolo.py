"""YOLO: a ``data.yaml`` of names and splits, and a text file of boxes for each image.

The labels of ``images/a/b.jpg`` are in ``labels/a/b.txt`` (the last folder named images counts), else beside the image,
else where ``image_index.py`` finds them. An image without a label file, or with an empty one, has no objects. Without
``data.yaml`` the names are the lines of ``classes.txt`` (as labelImg writes it, beside the images or in ``labels``) or
``obj.names`` (CVAT), and the splits are those of ``obj.data``, else lists such as ``train.txt``, else folders named for
splits, else there is one.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from detect.data.annotations import Annotations
from detect.data.formats.image_index import FileIndex, has_file, same_content
from detect.data.formats.label_text import class_name
from detect.data.formats.records import LabeledImage, LabeledSet, image_ids, to_annotations
from detect.data.formats.report import Report, strict_report
from detect.data.formats.sizes import ImageSizes
from detect.data.formats.yolo_data import other_name_files, read_data_file
from detect.data.formats.yolo_labels import describe_lengths, read_labels
from detect.data.formats.yolo_names import name_lines
from detect.data.formats.yolo_splits import YoloSplits
from detect.data.images import is_image
from detect.errors import UserError

_OTHER_TEXTS = frozenset({"classes.txt", "readme.txt", "license.txt", "requirements.txt"})


def read_yolo(root: Path, split: str, classes: Sequence[str] | None) -> Annotations:
    """Return the images of a split (a key of data.yaml): those of a folder by path, those of a list in its order.

    classes None: the names of data.yaml in their order. Boxes may reach outside the image; those without extent,
    entirely outside, or in pixels are dropped and reported. The box of a polygon is the one around it. The image id is
    the number in the file name if every name is a number, else the index from 1. Raises UserError.
    """
    return to_annotations(YoloFolder(root, strict_report(), ImageSizes()).read_split(split), classes)


def label_file(image: Path) -> Path:
    """Return the path of an image's label file in a folder of labels, which need not exist.

    Ultralytics looks there: its ``img2label_paths`` replaces the last /images/.
    """
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


class YoloFolder:
    """Reads the images of a YOLO folder.

    report: where faults go; sizes: decides on the sizes of images; encoding: of files without a byte order
    mark, None for UTF-8; masks: whether to keep polygons. Raises UserError if data.yaml cannot be read.
    """

    def __init__(
        self, root: Path, report: Report, sizes: ImageSizes, encoding: str | None = None, masks: bool = False
    ) -> None:
        self.data = read_data_file(root, encoding)
        self._report = report
        self._sizes = sizes
        self._masks = masks
        self._labels = FileIndex(root, _is_label_file)
        self._photos = FileIndex(root)
        self._images = FileIndex(root, is_labelled=self._is_labelled_photo)
        self._splits = YoloSplits(self.data, self._images, report)
        self._label_files: dict[Path, Path] = {}
        self._lengths: Counter[int] = Counter()

    def split_names(self) -> list[str]:
        """Return the names of the splits."""
        return self._splits.names()

    def image_files(self, split: str) -> list[Path]:
        """Return the image files of a split. Raises UserError if there is no such split."""
        return self._splits.image_files(split)

    def read_split(self, split: str) -> LabeledSet:
        """Return the images of a split with all their objects, valid or not. Raises UserError."""
        data = self.data
        images = self.image_files(split)
        for image in images:
            self._label_files[image] = self._find_labels(image)
        if images and not any(os.path.lexists(self._label_files[image]) for image in images):
            expected = f"expected the labels of {images[0].name}, found none for {len(images)} images"
            self._report("missing-annotation", self._label_files[images[0]], "", expected)
        self._report_labels_without_image()
        self._report_shared_labels(images)
        self._report_other_names()
        names = [self._name(image) for image in images]
        self._lengths.clear()
        labeled = (
            self._read_image(image, name, image_id)
            for image, name, image_id in zip(images, names, image_ids(names), strict=True)
        )
        images_read = tuple(labeled)
        described = describe_lengths(self._lengths, data.keypoint_fields)
        if described:
            self._report.note("dialect", data.file, split, described)
        return LabeledSet(images_read, {name: i for i, name in enumerate(data.names, start=1)})

    def unlisted_files(self) -> list[Path]:
        """Return the images that have a label file and are in no split."""
        listed = {image for split in self.split_names() for image in self.image_files(split)}
        return [image for image in self._images.files if image not in listed and os.path.lexists(label_file(image))]

    def read_rest(self) -> tuple[LabeledImage, ...]:
        """Return nothing: what is in no split has no labels that anything names."""
        return ()

    def _find_labels(self, image: Path) -> Path:
        """Return the label file of an image, which need not exist."""
        for path in (label_file(image), image.with_suffix(".txt")):
            if os.path.lexists(path):
                return path
        if not image.is_relative_to(self._images.root):
            return label_file(image)
        matches = self._labels.find(image)
        key = self._images.key(image)
        if any(self._labels.key(path) != key for path in matches):  # only the stem: must hold the other way round too
            matches = [path for path in matches if len(matches) == 1 and self._images.find(path) == [image]]
        if len(matches) > 1:
            paths = self._images.describe(matches)
            self._report("ambiguous-image", image, "", f"expected one label file, found {paths}")
        return matches[0] if matches else label_file(image)

    def _is_labelled_photo(self, image: Path) -> bool:
        """Return True if an image in a folder named for masks has a label file that is not that of a photo elsewhere.

        The labels of photos may lie beside their masks.
        """
        photos = self._photos.find_named(PurePosixPath(image.name))
        return self._has_own_labels(image) and all(map(self._has_own_labels, photos))

    def _has_own_labels(self, image: Path) -> bool:
        """Return True if there is a label file at the path that an image's own has."""
        if any(map(os.path.lexists, (label_file(image), image.with_suffix(".txt")))):
            return True
        if not image.is_relative_to(self._images.root):
            return False
        key = self._labels.key(image)
        return any(self._labels.key(path) == key for path in self._labels.find(image))

    def _report_labels_without_image(self) -> None:
        """Note label files of which no image is used, in folders that hold labels only; of none that is a photo's."""
        used = set(self._label_files.values())
        beside = {image.parent for image in self._label_files}
        for folder in sorted({file.parent for file in used}):
            others = [file for file in sorted(folder.glob("*.txt")) if file not in used and _is_label_file(file)]
            for file in others:
                if self._has_image(file):
                    continue
                siblings = [path for path in _image_places(file) if path.is_file()]
                if siblings:
                    expected = f"expected image {file.stem}, found {siblings[0].name}, a kind of file that is not read"
                    self._report.note("unread-kind", file, "", expected)
                elif folder not in beside:
                    self._report.note("missing-image", file, "", "no image with that name")

    def _report_shared_labels(self, images: Sequence[Path]) -> None:
        """Note images that have one label file: car.jpg and car.png are two photos, and car.txt is of one of them."""
        first: dict[Path, Path] = {}
        for image in images:
            labels = self._label_files[image]
            other = first.setdefault(labels, image)
            if other != image and all(map(has_file, (labels, other, image))) and not same_content([other, image]):
                message = f"its boxes are taken for {other.name} and for {image.name}"
                self._report.note("shared-labels", labels, "", message)

    def _report_other_names(self) -> None:
        """Note a list of class names that is not the one in use and says something else."""
        folders = sorted({labels.parent for labels in self._label_files.values()})
        for file in other_name_files(self.data, folders):
            with contextlib.suppress(UserError):  # in an encoding that is not that of the list in use
                names = tuple(map(class_name, name_lines(file, self.data.encoding)))
                if names != self.data.names:
                    spellings = f"{', '.join(names[:3])}; {self.data.file.name} has {', '.join(self.data.names[:3])}"
                    self._report.note("other-names", file, "", f"begins with {spellings}")

    def _has_image(self, labels: Path) -> bool:
        """Return True if an image of the folder has these labels, in this split or in another."""
        return labels.is_relative_to(self._images.root) and bool(self._images.find(labels))

    def _name(self, image: Path) -> str:
        """Return the path below the last folder named images, else below the data set's folder."""
        indices = [i for i, part in enumerate(image.parts[:-1]) if part == "images"]
        if indices:
            return Path(*image.parts[indices[-1] + 1 :]).as_posix()
        root = self.data.base_folder.absolute()
        return image.relative_to(root).as_posix() if image.is_relative_to(root) else image.name

    def _read_image(self, image: Path, name: str, image_id: int) -> LabeledImage:
        """Return an image with the objects of its label file."""
        labels = self._label_files[image]
        size = self._sizes.size(image, None, ())
        if not os.path.lexists(labels) and size is not None:
            self._report("unlabelled-image", image, "", f"no {labels}")
        objects = read_labels(labels, self.data, size, self._report, self._lengths, self._masks)
        return LabeledImage(image, name, labels, size, image_id, objects)


def _image_places(labels: Path) -> list[Path]:
    """Return the files of the stem of a label file, where its image could be: other kinds than text and images."""
    folders = [labels.parent, Path(*("images" if part == "labels" else part for part in labels.parent.parts))]
    files = [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob(f"{_escape(labels.stem)}.*"))]
    return [path for path in files if path.suffix.lower() != ".txt" and not is_image(path)]


def _escape(name: str) -> str:
    """Return a name as a pattern that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _is_label_file(path: Path) -> bool:
    """Return True for a text file that may hold boxes, by its name."""
    return path.suffix.lower() == ".txt" and path.name.lower() not in _OTHER_TEXTS and not path.name.startswith(".")
