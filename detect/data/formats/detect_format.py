"""Detects the label format of a folder and lists its splits."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

from detect.data.formats.csv_files import COLUMNS
from detect.data.formats.voc import voc_splits
from detect.data.formats.voc_xml import refuse_cvat
from detect.data.formats.yolo import find_data_file, yolo_splits
from detect.data.images import is_image
from detect.errors import UserError
from detect.system.files import require_folder

BoxFormat = Literal["voc", "coco", "yolo", "csv"]
BOX_FORMATS: tuple[BoxFormat, ...] = ("voc", "coco", "yolo", "csv")

ROBOFLOW = "_annotations.coco"  # the file of each split, in a folder named for the split

_COCO_KEYS = (b'"images"', b'"annotations"')
_HEAD = 1 << 16  # bytes: they contain one of COCO's keys, or categories fill them all
_EXPECTED = (
    "VOC (Annotations, or images with XML files beside them), COCO (a .json file), YOLO (data.yaml, classes.txt or "
    f"obj.names) or CSV ({','.join(COLUMNS)})"
)


def detect_format(root: Path) -> BoxFormat:
    """Return the format of a labelled folder. Raises UserError if it has none, several, or CVAT's own."""
    signs = format_signs(root)
    if "voc" in signs:
        refuse_cvat(root)
    if len(signs) == 1:
        return next(iter(signs))
    if signs:
        listed = " and ".join(f"{name} ({file})" for name, file in signs.items())
        raise UserError(f"{root}: expected one format, found {listed}; name the format")
    images = sum(is_image(path) for path in root.rglob("*"))
    raise UserError(f"{root}: expected {_EXPECTED}, found {images} images and no labels")


def format_signs(root: Path) -> dict[BoxFormat, str]:
    """Return the formats of which the folder shows a sign, each with the file or folder that is the sign."""
    require_folder(root, "a folder of labelled images")
    signs = {
        "voc": _voc_sign(root),
        "coco": next(iter(coco_files(root)), None),
        "yolo": find_data_file(root),
        "csv": next(iter(csv_files(root)), None),
    }
    return {name: sign.relative_to(root).as_posix() for name in BOX_FORMATS if (sign := signs[name]) is not None}


def list_splits(format: BoxFormat, root: Path) -> list[str]:  # noqa: A002 - the name of the setting
    """Return the splits of a folder, as ``data.train`` and ``data.val`` name them, without suffixes."""
    if format == "voc":
        return voc_splits(root)
    if format == "yolo":
        return yolo_splits(root)
    files = coco_files(root) if format == "coco" else csv_files(root)
    return [file.relative_to(root).with_suffix("").as_posix() for file in files]


def coco_files(root: Path) -> list[Path]:
    """Return the COCO annotation files in a folder, in its ``annotations``, or beside the images (as Roboflow does)."""
    matches = (root.glob("*.json"), (root / "annotations").glob("*.json"), root.glob(f"*/{ROBOFLOW}.json"))
    files = dict.fromkeys(file for folder_matches in matches for file in sorted(folder_matches))
    return [file for file in files if file.is_file() and _has_coco_keys(file)]


def csv_files(root: Path) -> list[Path]:
    """Return the CSV files in a folder, sorted."""
    return [file for file in sorted(root.glob("*.csv")) if file.is_file()]


def _voc_sign(root: Path) -> Path | None:
    """Return the folder or XML file that shows the VOC format; None if there is none."""
    for name in ("Annotations", "ImageSets", "annotations"):
        if (root / name).is_dir() and (name != "annotations" or next((root / name).glob("*.xml"), None)):
            return root / name
    return next(root.rglob("*.xml"), None)


def _has_coco_keys(file: Path) -> bool:
    """Return True if the file starts like a COCO annotation file.

    The file is not parsed, because it may have half a gigabyte. Categories alone are not enough: Label Studio's
    notes.json has them.
    """
    with contextlib.suppress(OSError), file.open("rb") as stream:
        head = stream.read(_HEAD)
        return any(key in head for key in _COCO_KEYS) or (len(head) == _HEAD and b'"categories"' in head)
    return False
