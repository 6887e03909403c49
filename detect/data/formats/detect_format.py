"""Which format a folder is in, and which lists of images it has."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

from detect.data.formats.csv_files import COLUMNS
from detect.data.formats.voc import voc_lists
from detect.data.formats.voc_xml import refuse_cvat
from detect.data.formats.yolo import find_data_file, yolo_lists
from detect.data.images import is_image
from detect.errors import UserError
from detect.system.files import existing_folder

BoxFormat = Literal["voc", "coco", "yolo", "csv"]
BOX_FORMATS: tuple[BoxFormat, ...] = ("voc", "coco", "yolo", "csv")

ROBOFLOW = "_annotations.coco"  # its file for each split, in a folder named for it

_COCO_KEYS = (b'"images"', b'"annotations"')
_HEAD = 1 << 16  # bytes: one of COCO's keys is among them, or categories fill them all
_EXPECTED = (
    "VOC (Annotations, or images with XML files beside them), COCO (a .json file), YOLO (data.yaml, classes.txt or "
    f"obj.names) or CSV ({','.join(COLUMNS)})"
)


def found_format(root: Path) -> BoxFormat:
    """The format of a labelled folder. Raises UserError where it is in none, in several, or in CVAT's own."""
    found = traces(root)
    if "voc" in found:
        refuse_cvat(root)
    if len(found) == 1:
        return next(iter(found))
    if found:
        listed = " and ".join(f"{name} ({file})" for name, file in found.items())
        raise UserError(f"{root}: expected one format, found {listed}: say which")
    images = sum(is_image(path) for path in root.rglob("*"))
    raise UserError(f"{root}: expected {_EXPECTED}, found {images} images and no labels")


def traces(root: Path) -> dict[BoxFormat, str]:
    """The formats that the folder shows signs of, each with the file or folder that is the sign."""
    existing_folder(root, "a folder of labelled images")
    signs = {
        "voc": _voc_sign(root),
        "coco": next(iter(coco_files(root)), None),
        "yolo": find_data_file(root),
        "csv": next(iter(csv_files(root)), None),
    }
    return {name: sign.relative_to(root).as_posix() for name in BOX_FORMATS if (sign := signs[name]) is not None}


def lists_of(format: BoxFormat, root: Path) -> list[str]:  # noqa: A002 - the config's own word
    """The lists of images in a folder, as ``data.train`` and ``data.val`` name them, without suffixes."""
    if format == "voc":
        return voc_lists(root)
    if format == "yolo":
        return yolo_lists(root)
    files = coco_files(root) if format == "coco" else csv_files(root)
    return [file.relative_to(root).with_suffix("").as_posix() for file in files]


def coco_files(root: Path) -> list[Path]:
    """COCO's annotation files in a folder, in its ``annotations``, or beside the images as Roboflow has them."""
    places = (root.glob("*.json"), (root / "annotations").glob("*.json"), root.glob(f"*/{ROBOFLOW}.json"))
    files = dict.fromkeys(file for place in places for file in sorted(place))
    return [file for file in files if file.is_file() and _has_coco_keys(file)]


def csv_files(root: Path) -> list[Path]:
    """The CSV files in a folder."""
    return [file for file in sorted(root.glob("*.csv")) if file.is_file()]


def _voc_sign(root: Path) -> Path | None:
    for name in ("Annotations", "ImageSets", "annotations"):
        if (root / name).is_dir() and (name != "annotations" or next((root / name).glob("*.xml"), None)):
            return root / name
    return next(root.rglob("*.xml"), None)


def _has_coco_keys(file: Path) -> bool:
    """Without parsing: an annotation file may have half a gigabyte. Categories alone are Label Studio's notes.json."""
    with contextlib.suppress(OSError), file.open("rb") as stream:
        head = stream.read(_HEAD)
        return any(key in head for key in _COCO_KEYS) or (len(head) == _HEAD and b'"categories"' in head)
    return False
