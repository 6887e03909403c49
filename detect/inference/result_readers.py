"""Detections read back from the files that ``formats.py`` and other tools write; an error names file and place."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detect.data.image_names import ImageNames
from detect.errors import UserError, nearest, told
from detect.evaluation.predictions import Prediction
from detect.inference.result_writers import comp4_file
from detect.system.files import existing_folder, read_json_file, read_text

if TYPE_CHECKING:  # annotations.py imports torch, which reading results does not need
    from detect.data.annotations import Annotations
    from detect.types import Size

Row = tuple[list[float], float, int]  # box, score, label

_TOO_LARGE = 1e300  # JSON has integers that no float holds
_IMAGES = "a list of images with their detections"


def read_json(path: Path, classes: Sequence[str]) -> list[Prediction]:
    """A ``predictions.json``. Raises UserError for another shape of file and for a label that is not in ``classes``."""
    labels = {name: label for label, name in enumerate(classes, 1)}
    images = enumerate(_load_list(path, _IMAGES), 1)
    return [read_record(f"{path}: entry {place}", image, labels) for place, image in images]


def json_classes(path: Path) -> list[str]:
    """The labels in a ``predictions.json``, sorted."""
    images = [image for image in _load_list(path, _IMAGES) if isinstance(image, dict)]
    rows = [row for image in images for row in image.get("detections", ()) if isinstance(row, dict)]
    return sorted({row["label"] for row in rows if isinstance(row.get("label"), str)})


def read_comp4(folder: Path, annotations: Annotations) -> list[Prediction]:
    """A folder with VOC's ``comp4_det_<class>.txt`` for each class, aligned to the annotations.

    Raises UserError for a class without a file, a line of another shape, and a name that is no image's or several's.
    """
    existing_folder(folder, "a folder of comp4_det_<class>.txt")
    images = ImageNames([annotations.file(index) for index in range(len(annotations))])
    known: dict[str, int] = {}
    rows: list[list[Row]] = [[] for _ in range(len(annotations))]
    for label, class_name in enumerate(annotations.classes, 1):
        path = folder / comp4_file(class_name)
        for place, line in enumerate(read_text(path, f"the detections of {class_name}").splitlines(), 1):
            name, box, score = _read_line(f"{path}: line {place}", line)
            if name not in known:
                known[name] = _find(f"{path}: line {place}", name, images)
            rows[known[name]].append((box, score, label))
    return _gather_all(annotations, rows)


def comp4_classes(folder: Path) -> list[str]:
    """The classes that a folder has a ``comp4_det_<class>.txt`` of, sorted."""
    prefix, suffix = comp4_file("*").split("*")
    found = existing_folder(folder, "a folder of comp4_det_<class>.txt").glob(comp4_file("*"))
    return sorted(path.name.removeprefix(prefix).removesuffix(suffix) for path in found)


def read_coco_results(path: Path, annotations: Annotations) -> list[Prediction]:
    """A ``coco_results.json`` in the annotations' image and category ids, aligned to them; UserError for other ids."""
    places = {image_id: place for place, image_id in enumerate(annotations.image_ids.tolist())}
    labels = {category_id: label for label, category_id in enumerate(annotations.category_ids.tolist(), 1)}
    rows: list[list[Row]] = [[] for _ in range(len(annotations))]
    for result in load_coco_results(path, places, labels):
        x, y, width, height = result["bbox"]
        box = [x, y, x + width, y + height]
        rows[places[result["image_id"]]].append((box, result["score"], labels[result["category_id"]]))
    return _gather_all(annotations, rows)


def load_coco_results(path: Path, image_ids: Container[int], category_ids: Container[int]) -> list[dict[str, Any]]:
    """The rows of a COCO results file as they stand there; UserError for another shape or an id that is not known."""
    rows = _load_list(path, "a list of COCO results")
    for place, row in enumerate(rows, 1):
        where = f"{path}: result {place}"
        match row:
            case {"image_id": image_id, "category_id": category_id, "bbox": [_, _, _, _] as box, "score": score} if (
                _are_numbers([*box, score])
            ):
                if not isinstance(image_id, int) or image_id not in image_ids:
                    raise UserError(f"{where}: expected the image_id of an annotated image, found {told(image_id)}")
                if not isinstance(category_id, int) or category_id not in category_ids:
                    raise UserError(f"{where}: expected the category_id of a category, found {told(category_id)}")
            case _:
                expected = '"image_id", "category_id", "bbox" [x, y, width, height] and "score"'
                raise UserError(f"{where}: expected {expected}, found {told(row)}")
    return rows


def read_record(where: str, image: object, labels: dict[str, int]) -> Prediction:
    """One element of ``predictions.json``; an error starts with ``where``."""
    match image:
        case {"file": str(file), "width": int(width), "height": int(height), "detections": list(found)}:
            rows = [_read_row(f"{where}: detection {place}", row, labels) for place, row in enumerate(found, 1)]
            return _gather(file, (height, width), rows)
    raise UserError(f'{where}: expected "file", "width", "height" and "detections", found {told(image)}')


def _read_row(where: str, row: object, labels: dict[str, int]) -> Row:
    match row:
        case {"box": [_, _, _, _] as box, "label": str(label), "score": score} if _are_numbers([*box, score]):
            if label in labels:
                return box, score, labels[label]
            raise UserError(f"{where}: expected one of {', '.join(labels)}, found {label}{nearest(label, labels)}")
    raise UserError(f'{where}: expected "box" [x1, y1, x2, y2], "label" and "score", found {told(row)}')


def _read_line(where: str, line: str) -> tuple[str, list[float], float]:
    """(name, box, score) of a comp4 line; the name may hold spaces."""
    try:
        name, score, xmin, ymin, xmax, ymax = line.rsplit(maxsplit=5)
        box, surety = [_minus_one(xmin), _minus_one(ymin), float(xmax), float(ymax)], float(score)
    except (ValueError, ArithmeticError):
        box, surety = [math.nan], math.nan
    if not _are_numbers([*box, surety]):
        raise UserError(f"{where}: expected image score xmin ymin xmax ymax, found {told(line)}")
    return name, box, surety


def _minus_one(text: str) -> float:
    """Undoes ``formats.write_comp4``'s shift to the last bit."""
    return float(Decimal(text) - 1)


def _find(where: str, name: str, images: ImageNames) -> int:
    try:
        return images.find(name)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _gather_all(annotations: Annotations, rows: Sequence[Sequence[Row]]) -> list[Prediction]:
    """A Prediction for each image from its rows."""
    return [_gather(annotations.file(place), annotations.size(place), found) for place, found in enumerate(rows)]


def _gather(file: str, size: Size, rows: Sequence[Row]) -> Prediction:
    return Prediction(
        file=file,
        width=size[1],
        height=size[0],
        boxes=np.asarray([box for box, _, _ in rows], np.float64).reshape(-1, 4),
        scores=np.asarray([score for _, score, _ in rows], np.float64),
        labels=np.asarray([label for _, _, label in rows], np.int64),
    )


def _load_list(path: Path, what: str) -> list[Any]:
    """The list that a JSON file holds; UserError where it holds something else, or no JSON."""
    value = read_json_file(path, what)
    if not isinstance(value, list):
        raise UserError(f"{path}: expected {what}, found {told(value)}")
    return value


def _are_numbers(values: Sequence[object]) -> bool:
    """Whether all are numbers, finite as floats."""
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _TOO_LARGE for value in values
    )
