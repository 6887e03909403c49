"""VOC's lists of images: ``ImageSets/Main/<split>.txt``, a file name without suffix in each line."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from detect.data.formats.image_index import FileIndex, listed_path
from detect.data.formats.report import Report
from detect.data.images import is_image
from detect.errors import UserError, did_you_mean
from detect.system.files import require_folder, text_lines

ANNOTATION_FOLDERS, IMAGE_FOLDERS = ("Annotations", "annotations", "ANNOTATIONS"), ("JPEGImages", "images", "IMAGES")
SPLIT_FOLDER = ("ImageSets", "Main")


def first_folder(root: Path, names: tuple[str, ...]) -> Path:
    """Return the first of the folders in ``root`` that exists; if none does, the first of all."""
    return next((root / name for name in names if (root / name).is_dir()), root / names[0])


def split_file_names(root: Path) -> list[str]:
    """Return the names of the lists, without those for one class (``cat_train``)."""
    names = {entry.stem for entry in root.joinpath(*SPLIT_FOLDER).glob("*.txt")}
    return sorted(name for name in names if not any(name.endswith(f"_{other}") for other in names))


def lists_below(root: Path) -> dict[Path, list[str]]:
    """Return the lists of each devkit folder below ``root``, of which VOCdevkit has several: VOC2007 and VOC2012."""
    patterns = (Path(*("*",) * depth, *SPLIT_FOLDER).as_posix() for depth in (1, 2))
    folders = sorted(folder for pattern in patterns for folder in root.glob(pattern) if folder.is_dir())
    return {folder: names for folder in folders if (names := split_file_names(folder.parent.parent))}


def xml_finder(root: Path, xmls: FileIndex) -> Callable[[str], tuple[Path, str]]:
    """Return a function that finds the XML file of a line and the name of its image, once for the lists that share it.

    xmls: the XML files below the root.
    """
    return cache(partial(_find_xml, first_folder(root, ANNOTATION_FOLDERS), xmls))


def read_split_file(root: Path, split: str, find_xml: Callable[[str], tuple[Path, str]], report: Report) -> list[Path]:
    """Return the XML file of each image that a list names, each once; files that do not exist are among them.

    find_xml: as ``xml_finder`` returns it. Raises UserError if there is no such list.
    """
    folder = require_folder(root.joinpath(*SPLIT_FOLDER), "VOC's folder of splits")
    path = folder / f"{split}.txt"
    if not path.is_file():
        known = sorted(entry.stem for entry in folder.glob("*.txt"))
        listed = ", ".join(known[:20]) or "none"
        raise UserError(f"{path}: expected a split file, found nothing{did_you_mean(split, known)}; splits: {listed}")
    try:
        lines = [line.strip() for line in text_lines(path)]
    except UserError as error:
        report.add_error("damaged-annotation", path, "", error)
        lines = []
    listed_xmls: dict[Path, None] = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        xml, name = find_xml(line)
        if xml in listed_xmls:
            report("repeated-id", path, "", f"expected each image once, found {name} twice")
        listed_xmls[xml] = None
    return list(listed_xmls)


def _find_xml(annotations: Path, xmls: FileIndex, line: str) -> tuple[Path, str]:
    """Return the XML file of a line and the name of its image, which is the whole line, else its first column.

    Without a file of that name in ``annotations`` it is the only one below the root whose path ends like the name.
    """
    if "\\" not in line and xmls.has(xml := annotations / f"{line}.xml"):
        return xml, line
    names = [str(listed_path(text)) for text in (line, line.split()[0])]
    names += [name.rpartition(".")[0] for name in names if is_image(Path(name))]
    for name in names:
        if xmls.has(annotations / f"{name}.xml"):
            return annotations / f"{name}.xml", name
    for name in names[1:]:
        matches = xmls.find_named(listed_path(f"{name}.xml"))
        if len(matches) == 1:
            return matches[0], name
    return annotations / f"{names[1]}.xml", names[1]
