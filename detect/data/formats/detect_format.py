"""Detects the label format of a folder."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

from detect.data.formats.annotation_files import coco_files, csv_files
from detect.data.formats.annotation_tools import cvat_files, label_studio_files
from detect.data.formats.csv_class_names import is_class_list
from detect.data.formats.csv_columns import COLUMNS
from detect.data.formats.image_index import FileIndex
from detect.data.formats.label_studio_json import is_label_studio_min
from detect.data.formats.labelme import is_json
from detect.data.formats.labelme_json import is_labelme
from detect.data.formats.voc_lists import SPLIT_FOLDER
from detect.data.formats.voc_pairs import is_xml
from detect.data.formats.voc_xml import is_voc_annotation
from detect.data.formats.yolo_data import find_data_file
from detect.data.images import is_image
from detect.errors import UserError
from detect.system.files import require_folder

BoxFormat = Literal["voc", "coco", "yolo", "csv", "labelme", "cvat", "label-studio"]
WritableFormat = Literal["voc", "coco", "yolo", "csv"]
BOX_FORMATS: tuple[BoxFormat, ...] = get_args(BoxFormat)
WRITABLE_FORMATS: tuple[WritableFormat, ...] = ("voc", "coco", "yolo", "csv")  # of `detect data convert --to`

_HEAD = 4096  # bytes
_LABEL_SUFFIXES = frozenset({".xml", ".json", ".csv", ".txt", ".yaml", ".yml"})
_EXPECTED = (
    "VOC (Annotations, or images with XML files beside them), COCO (a .json file), YOLO (data.yaml, classes.txt or "
    f"obj.names), CSV ({','.join(COLUMNS)}), LabelMe (a .json file for each image), CVAT for images (an .xml file) or "
    "Label Studio (its JSON export)"
)


def detect_format(root: Path) -> BoxFormat:
    """Return the format of a labelled folder. Raises UserError if it has none, or several."""
    signs = format_signs(root)
    if len(signs) == 1:
        return next(iter(signs))
    if signs:
        listed = " and ".join(f"{name} ({file})" for name, file in signs.items())
        raise UserError(f"{root}: expected one format, found {listed}; name the format: --format or data.format")
    raise UserError(
        f"{root}: expected {_EXPECTED}, found {describe_folder(root)}{_other_json_hint(root) or _nearest_layout(root)}"
    )


def format_signs(root: Path) -> dict[BoxFormat, str]:
    """Return the formats of which the folder shows a sign, each with the file or folder that is the sign."""
    require_folder(root, "a folder of labelled images")
    signs: dict[BoxFormat, Path | None] = {
        "voc": _voc_sign(root),
        "coco": next(iter(coco_files(root)), None),
        "yolo": find_data_file(root),
        "cvat": next(iter(cvat_files(root)), None),
        "label-studio": next(iter(label_studio_files(root)), None),
        "csv": next((file for file in csv_files(root) if not is_class_list(file)), None),
    }
    in_annotations = signs["csv"] is not None and signs["csv"].parent == root / "annotations"
    if in_annotations and (signs["voc"] or signs["coco"] or signs["yolo"]):  # a table beside labels of another format
        signs["csv"] = None
    signs["labelme"] = None if signs["voc"] or signs["coco"] else _labelme_sign(root)
    base = root.absolute()
    return {
        name: sign.absolute().relative_to(base).as_posix() for name in BOX_FORMATS if (sign := signs[name]) is not None
    }


def _labelme_sign(root: Path) -> Path | None:
    """Return the first JSON file of LabelMe below the root; None if there is none."""
    return next((file for file in FileIndex(root, is_json).files if is_labelme(file)), None)


def describe_folder(root: Path) -> str:
    """Return what a folder without a known format holds: images, and files that may be labels, by folder."""
    files = FileIndex(root, lambda _: True).files
    num_images = sum(map(is_image, files))
    counts = Counter((file.parent, file.suffix.lower()) for file in files if file.suffix.lower() in _LABEL_SUFFIXES)
    if not counts:
        return f"{num_images} images and no labels"
    base = root.absolute()
    listed = [
        f"{count} {suffix} in {folder.relative_to(base).as_posix()}"
        for (folder, suffix), count in counts.most_common(5)
    ]
    return f"{num_images} images and no labels that are known ({', '.join(listed)})"


def _other_json_hint(root: Path) -> str:
    """Return a hint at a JSON file in the folder that is another than its like; empty without one.

    That is a list of detections, which COCO calls results, or Label Studio's JSON-MIN.
    """
    for file in sorted(root.glob("*.json")):
        with contextlib.suppress(OSError), file.open("rb") as stream:
            head = stream.read(_HEAD).lstrip()
            if head.startswith(b"[") and b'"image_id"' in head and b'"category_id"' in head:
                return f"; {file.name} lists detections, which are no labels: add the file of the labels"
            if is_label_studio_min(file):
                return f"; {file.name} is JSON-MIN of Label Studio: export as JSON"
    return ""


def _nearest_layout(root: Path) -> str:
    """Return a hint at the folders below that would be read, or at the one list of names that lies too deep.

    Of two lists neither is to be moved: each numbers the classes of its own folder.
    """
    signs: list[tuple[Path, BoxFormat, str]] = []
    for folder in sorted(path for path in root.glob("*/") if not path.name.startswith(".")):
        with contextlib.suppress(UserError):
            signs += [(folder, name, sign) for name, sign in list(format_signs(folder).items())[:1]]
    if not signs:
        return ""
    message = f"; {' and '.join(f'{folder.name} has {sign}' for folder, _, sign in signs[:5])}"
    folder, name, sign = signs[0]
    if len(signs) == 1:
        return f"{message}: give {folder} (as {name}), or move {sign} to {root}"
    return f"{message}: give one of them ({folder}, as {name}); each has labels of its own, so move none to {root}"


def _voc_sign(root: Path) -> Path | None:
    """Return the folder or XML file that shows the VOC format; None if there is none."""
    for name in ("Annotations", SPLIT_FOLDER[0]):
        if (root / name).is_dir():
            return root / name
    return next((xml for xml in FileIndex(root, is_xml).files if is_voc_annotation(xml)), None)
