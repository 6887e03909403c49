"""Says what the columns of a CSV file hold, by the names in its first row.

Other tools name the same columns differently. A name decides, never a value, because a number can be a label. The names
are those of

- TensorFlow's object detection tutorial and Roboflow: ``filename,width,height,class,xmin,ymin,xmax,ymax``
  (github.com/datitran/raccoon_dataset, xml_to_csv.py; roboflow.com/formats/tensorflow-object-detection-csv),
- VoTT: ``image,xmin,ymin,xmax,ymax,label`` (github.com/microsoft/VoTT, csv.ts),
- DeepForest: ``image_path,xmin,ymin,xmax,ymax,label``, where a box of four zeros stands for an image without objects
  (deepforest.readthedocs.io, "Negative samples"),
- Kaggle's wheat heads: ``image_id,width,height,bbox,source`` with ``[x, y, width, height]`` and one class without name
  (kaggle.com/c/global-wheat-detection/data),
- OpenImages: ``ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,...`` in fractions of the image, where a group
  is what COCO calls a crowd (storage.googleapis.com/openimages/web/download_v7.html),
- the VGG Image Annotator: ``filename,...,region_shape_attributes,region_attributes``, see ``csv_via.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.data.formats.numbers import parse_float
from detect.errors import UserError, did_you_mean

COLUMNS = ("file", "label", "x1", "y1", "x2", "y2")
OPTIONAL_COLUMNS = ("difficult", "iscrowd", "truncated", "pose")
NO_NAME = "object"  # the class of every box in a file without a column of labels

# Names of each column, in lower case; of several that a file has, the first one here is used.
_NAMES = {
    "file": (
        *("file", "filename", "file_name", "image_path", "img_path", "path", "filepath", "file_path"),
        *("image", "image_name", "img", "image_id", "imageid", "name"),
    ),
    "label": (
        *("label", "class", "class_name", "classname", "label_name", "labelname", "category", "category_name"),
        *("name", "class_id", "label_id", "category_id"),
    ),
    "x1": ("x1", "xmin", "x_min", "x", "left", "bbox_x"),
    "y1": ("y1", "ymin", "y_min", "y", "top", "bbox_y"),
    "x2": ("x2", "xmax", "x_max", "right"),
    "y2": ("y2", "ymax", "y_max", "bottom"),
    "w": ("w", "bbox_width", "box_width", "bbox_w"),
    "h": ("h", "bbox_height", "box_height", "bbox_h"),
    "x y w h": ("bbox",),
    "shape": ("region_shape_attributes",),
    "attributes": ("region_attributes",),
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
    "difficult": ("difficult",),
    "iscrowd": ("iscrowd", "isgroupof"),
    "truncated": ("truncated", "istruncated"),
    "pose": ("pose",),
    "score": ("confidence", "score"),
}
_OPEN_IMAGES = {"imageid", "labelname", "xmin", "xmax", "ymin", "ymax"}
_BOXES: tuple[tuple[str, ...], ...] = (COLUMNS[2:], ("x1", "y1", "w", "h"), ("x y w h",), ("shape",))
_REQUIRED: dict[tuple[str, ...] | None, tuple[str, ...]] = {None: COLUMNS}
_REQUIRED |= {("x y w h",): ("file",), ("shape",): ("file", "attributes")}  # Kaggle's has one class, without a column
_MEANINGS = {"width": "the image's width", "height": "the image's height", "iscrowd": "iscrowd", "w": "the box's width"}
_MEANINGS |= {"h": "the box's height", "x y w h": "the box's x1, y1, width and height", "shape": "the region"}


@dataclass(frozen=True)
class CsvColumns:
    """What each column of a CSV file holds.

    names: (C,) the columns as the file names them; roles: (C,) what each holds, a key of _NAMES, empty where it is not
    used; box: the roles that give the box; in_fractions: True if the box is in fractions of the image; zeros_are_empty:
    True if a box of four zeros stands for an image without objects.
    """

    names: tuple[str, ...]
    roles: tuple[str, ...]
    box: tuple[str, ...]
    in_fractions: bool = False
    zeros_are_empty: bool = False

    @property
    def has_labels(self) -> bool:
        """Return True if a column or a region names the class of a box."""
        return "label" in self.roles or "attributes" in self.roles

    @property
    def note(self) -> str:
        """Return which column was taken for what; empty if all have their own names."""
        pairs = [(name, role) for name, role in zip(self.names, self.roles, strict=True) if role]
        taken = ", ".join(f"{name} is {_MEANINGS.get(role, role)}" for name, role in pairs if name.lower() != role)
        unused = ", ".join(name for name, role in zip(self.names, self.roles, strict=True) if not role)
        if not taken and not unused:
            return ""
        parts = [taken, "boxes are fractions of the image" if self.in_fractions else ""]
        parts += [f'no column of labels: each box is of the class "{NO_NAME}"' if not self.has_labels else ""]
        parts += [f"not read: {unused}" if unused else ""]
        return "; ".join(part for part in parts if part)


OWN_COLUMNS = CsvColumns(COLUMNS, COLUMNS, COLUMNS[2:])


def parse_header(file: Path, line: int, row: Sequence[str]) -> CsvColumns | None:
    """Return the columns that a row names; None if it is a row of values, of an object or of an image without any.

    Raises UserError for a row of names that are not known, or that do not make a box.
    """
    names = [value.lower().lstrip("#").strip() for value in row]
    known = {name for every in _NAMES.values() for name in every}
    if not _is_header(row, names, known):
        return None
    for name in names:
        if name in known and names.count(name) > 1:
            raise UserError(f'{file}: line {line}: {_expected()}, found "{name}" {names.count(name)} times')
    roles = _find_roles(names)
    box = next((candidate for candidate in _BOXES if set(candidate) <= roles.keys()), None)
    missing = [_NAMES[role][0] for role in _REQUIRED.get(box, ("file", "label")) if role not in roles]
    is_own = {"file", "label"} <= set(names)
    unknown = [name for name in names if name not in known]
    if box is None or missing or (is_own and unknown):
        first = unknown[0] if unknown else None
        found = f'"{missing[0]}" 0 times' if first is None else f'"{first}"{did_you_mean(first, sorted(known))}'
        raise UserError(f"{file}: line {line}: {_expected()}, found {found}")
    used = {role: name for role, name in roles.items() if role not in _box_roles() or role in box}
    role_of = {name: role for role, name in used.items()}
    return CsvColumns(
        names=tuple(row),
        roles=tuple(role_of.get(name, "") for name in names),
        box=box,
        in_fractions=set(names) >= _OPEN_IMAGES,
        zeros_are_empty="image_path" in names,
    )


def _expected() -> str:
    """Return the columns that are expected, for a message."""
    return f"expected the columns {','.join(COLUMNS)}, or those of another tool"


def _is_header(row: Sequence[str], names: Sequence[str], known: set[str]) -> bool:
    """Return True if a row names columns: it has no number, and names that are known, or a name in every column."""
    if any(parse_float(value) == parse_float(value) for value in row):
        return False
    return (
        len(known.intersection(names)) >= 2
        or bool({"file", "label"} & set(names))
        or (len(row) == len(COLUMNS) and any(row[2:]))
        or (len(row) > len(COLUMNS) and all(row))
    )


def _find_roles(names: Sequence[str]) -> Mapping[str, str]:
    """Return the column of each role that a file has.

    ``width`` and ``height`` after x and y, without second corners, are the box's; otherwise they are the image's.
    """
    roles: dict[str, str] = {}
    for role, candidates in _NAMES.items():
        taken = set(roles.values())
        name = next((each for each in candidates if each in names and each not in taken), None)
        if name is not None:
            roles[role] = name
    is_box = {"x1", "y1"} <= roles.keys() and not {"x2", "y2", "w", "h"} & roles.keys()
    if is_box and "width" in names and "height" in names and names.index("width") > names.index(roles["y1"]):
        roles |= {"w": "width", "h": "height"}
        roles = {role: name for role, name in roles.items() if role not in ("width", "height")}
    return roles


def _box_roles() -> set[str]:
    """Return the roles of which some give the box."""
    return {role for box in _BOXES for role in box}
