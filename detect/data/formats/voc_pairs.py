"""Finds the image of each VOC annotation, and the annotations and images that have no counterpart."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path

from detect.data.formats.image_index import FileIndex, last_part, listed_path, same_content, spelling
from detect.data.formats.report import Report
from detect.data.formats.voc_lists import ANNOTATION_FOLDERS, IMAGE_FOLDERS, first_folder
from detect.data.formats.voc_xml import VocAnnotation, is_voc_annotation
from detect.data.images import is_image
from detect.system.files import suggest_path

Pair = tuple[Path, Path]  # an image and its XML file


class VocPairs:
    """Matches the XML files and the images of a folder.

    read: returns the content of an XML file, None if it is damaged; has_lists: True if lists say which images are used,
    so that a file in no list is a note and no reason to stop.
    """

    def __init__(
        self, root: Path, report: Report, read: Callable[[Path], VocAnnotation | None], has_lists: bool
    ) -> None:
        self.images = FileIndex(root)
        self.xmls = FileIndex(root, is_xml)
        self._report = report
        self._read = read
        self._has_lists = has_lists
        self._image_folder = first_folder(root, IMAGE_FOLDERS).absolute()
        # Where the images of a folder of XML files are, so that most images are found without a search.
        self._annotation_folder = first_folder(root, ANNOTATION_FOLDERS).absolute()
        self._folders = {self._annotation_folder: self._image_folder}
        self._ambiguous: set[Path] = set()

    @cached_property
    def all(self) -> list[Pair]:
        """Every XML file with its image, sorted by the path of the XML file; images that do not exist are among them.

        XML files without an image that do not start like VOC's are other files, and left out.
        """
        for link in (*self.images.links, *self.xmls.links):
            self._report.note("unread-link", link, "", "a linked folder is not searched")
        labelled_folders = {image.parent for image in self.images.files}
        by_image: dict[Path, list[Path]] = {}
        for xml in self.xmls.files:
            matches = self.images.find(xml)
            certain = any(self.images.key(image) == self.images.key(xml) for image in matches)
            if not certain and not is_voc_annotation(xml):
                continue
            is_beside = xml.parent in labelled_folders
            image = self.find_image(xml, None, only_note=self._has_lists or is_beside)
            if image is not None:
                by_image.setdefault(image, []).append(xml)
        return sorted(
            ((image, self._choose_xml(image, xmls)) for image, xmls in by_image.items()), key=lambda pair: pair[1]
        )

    def find_image(self, xml: Path, annotation: VocAnnotation | None, only_note: bool = False) -> Path | None:
        """Return the image of an XML file; the path where it should be if there is none, which is reported.

        annotation: its content, if it has been read; only_note: report a missing image as a note. Then a strict reader
        gets None for it.
        """
        xml = xml.absolute()
        folder = self._folders.get(xml.parent)
        if folder is not None and annotation is not None:
            name, stem = last_part(annotation.file_name)
            if stem == xml.stem and is_image(image := folder / name) and self.images.has(image):
                return image
        matches = self.images.find(xml)
        if len(matches) != 1:
            matches = self._find_by_content(xml, matches)
        if not matches:
            return self._report_missing(xml, only_note)
        if len(matches) > 1 and not same_content(matches):
            names = " and ".join(image.relative_to(self.images.root).as_posix() for image in matches[:3])
            message = f"expected one image of its name, found {names}: name it in <filename>"
            self._report("ambiguous-image", xml, "", message)
        self._ambiguous.update(matches[1:])
        self._folders[xml.parent] = matches[0].parent
        return matches[0]

    def are_all(self, xmls: Collection[Path]) -> bool:
        """Return True if these are all XML files of the folder of annotations, which then has no folders in it.

        Told by names, in a twentieth of the time that a search below the root takes; False where that does not tell.
        """
        folder = str(self._annotation_folder)
        names = self.xmls.names_in(folder)
        with os.scandir(folder) as entries:
            if any(entry.is_dir() for entry in entries):
                return False
        return {name for name in names if name.endswith(".xml")} <= {xml.name for xml in xmls}

    def likely_image(self, xml: Path) -> Path:
        """Return the image of an XML file without reading it: the first that fits, which need not be the one named."""
        folder = xml.parent
        image = self._folders.get(folder, folder) / f"{xml.stem}.jpg"
        return image if self.images.has(image) else next(iter(self.images.find(xml)), image)

    def report_unlabelled(self, listed: Collection[Path]) -> None:
        """Report the images without an XML file. listed: further images that a list names."""
        labelled = {image for image, _ in self.all} | set(listed)
        is_beside = any(image.parent == xml.parent for image, xml in self.all)
        folders = {image.parent for image in labelled if image.is_relative_to(self.images.root)}
        top = self.images.root if is_beside or not folders else Path(os.path.commonpath(folders))
        labelled |= self._ambiguous
        for image in self.images.files:
            if image not in labelled and image.is_relative_to(top):
                self._report("unlabelled-image", image, "", "no XML file")

    def _find_by_content(self, xml: Path, matches: list[Path]) -> list[Path]:
        """Return the images that the name in an XML file leaves of ``matches``, or finds if there are none."""
        annotation = self._read(xml)
        if annotation is None or not annotation.file_name:
            return matches
        name = listed_path(annotation.file_name)
        if not matches:
            named = self.images.find_named(name)
            expected = spelling(name.name)
            is_named = (expected in (spelling(image.name), spelling(image.stem)) for image in named)
            return named if all(is_named) else []
        return [image for image in matches if image.name == name.name] or matches

    def _report_missing(self, xml: Path, only_note: bool) -> Path | None:
        """Report that an XML file has no image, and return the path where it should be."""
        folder = self._folders.get(xml.parent, xml.parent if only_note else self._image_folder)
        image = folder / f"{xml.stem}.jpg"
        others = [path for path in sorted(folder.glob("*")) if path.stem == xml.stem and path.suffix.lower() != ".xml"]
        kind = "unread-kind" if others else "missing-image"
        hint = f"{others[0].name}, a kind of file that is not read" if others else f"nothing{suggest_path(image)}"
        report = self._report.note if only_note else self._report
        report(kind, image, "", f"expected image {xml.stem}, found {hint}")
        return None if only_note and self._report.is_strict else image

    def _choose_xml(self, image: Path, xmls: list[Path]) -> Path:
        """Return the one of several XML files of an image that fits its path best; the others are reported."""
        if len(xmls) == 1:
            return xmls[0]
        fitting = [xml for xml in xmls if self.images.key(xml) == self.images.key(image)] or xmls
        fitting = [xml for xml in fitting if xml.is_relative_to(self._annotation_folder)] or fitting
        if len(fitting) > 1:
            names = " and ".join(xml.relative_to(self.images.root).as_posix() for xml in fitting[:3])
            message = f"expected one XML file for {image.name}, found {names}"
            (self._report.note if self._has_lists else self._report)("ambiguous-image", fitting[1], "", message)
        for xml in xmls:
            if xml not in fitting:
                self._report.note("unlisted", xml, "", f"its image {image.name} has {fitting[0]}")
        return fitting[0]


def is_xml(path: Path) -> bool:
    """Return True for an XML file by its name. ``x.tif.aux.xml`` holds GDAL's statistics of x.tif."""
    name = path.name.lower()
    return name.endswith(".xml") and not name.endswith(".aux.xml") and not name.startswith(".")
