"""Reads detections from the files that ``result_writers.py`` and other tools write.

An error states the file and the location in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detect.data.formats.mask_json import parse_rle
from detect.data.image_names import ImageNames
from detect.data.masks import RleMask
from detect.errors import UserError, did_you_mean, shorten
from detect.evaluation.predictions import FrameTime, Prediction
from detect.inference.result_writers import comp4_file
from detect.system.files import read_json_file, read_text, require_folder

if TYPE_CHECKING:  # annotations.py imports torch, which reading results does not need
    from detect.data.annotations import Annotations
    from detect.types import Size

DetectionRow = tuple[list[float], float, int]  # box (x1, y1, x2, y2), score, label

_MAX_NUMBER = 1e300  # JSON can contain integers that no float can represent
_IMAGE_LIST = "a list of images with their detections"


def read_json(path: Path, classes: Sequence[str]) -> list[Prediction]:
    """Read a ``predictions.json``. Raises UserError for another format and for a label that is not in ``classes``."""
    labels = {name: label for label, name in enumerate(classes, 1)}
    records = enumerate(load_list(path, _IMAGE_LIST), 1)
    return [parse_image_record(f"{path}: entry {position}", record, labels) for position, record in records]


def json_classes(path: Path) -> list[str]:
    """Return the sorted class names in a ``predictions.json``."""
    records = [record for record in load_list(path, _IMAGE_LIST) if isinstance(record, dict)]
    rows = [row for record in records for row in record.get("detections", ()) if isinstance(row, dict)]
    return sorted({row["label"] for row in rows if isinstance(row.get("label"), str)})


def read_comp4(folder: Path, annotations: Annotations) -> list[Prediction]:
    """Read a folder with VOC's ``comp4_det_<class>.txt`` for each class, in the order of the annotations' images.

    Raises UserError for a class without a file, for detections of a class that is none of the annotations', for a line
    in another format, for a name that matches no or several images, and for two names of one image.
    """
    require_folder(folder, "a folder of comp4_det_<class>.txt")
    images = ImageNames([annotations.file(index) for index in range(len(annotations))])
    _require_known_classes(folder, annotations.classes)
    index_by_name: dict[str, int] = {}
    name_by_index: dict[int, str] = {}
    rows: list[list[DetectionRow]] = [[] for _ in range(len(annotations))]
    for label, class_name in enumerate(annotations.classes, 1):
        path = folder / comp4_file(class_name)
        for line_number, line in enumerate(read_text(path, f"the detections of {class_name}").splitlines(), 1):
            location = f"{path}: line {line_number}"
            name, box, score = _parse_comp4_line(location, line)
            if name not in index_by_name:
                index = index_by_name[name] = _find_image(location, name, images)
                if (first := name_by_index.setdefault(index, name)) != name:
                    file = annotations.file(index)
                    raise UserError(f"{location}: expected one name for {file}, found {name} after {first}")
            rows[index_by_name[name]].append((box, score, label))
    return _to_predictions(annotations, rows)


def _require_known_classes(folder: Path, classes: Sequence[str]) -> None:
    """Raise UserError if the folder has detections of another class, which nothing would read."""
    label = labels_by_name(str(folder), classes)
    for name in comp4_classes(folder):
        if read_text(folder / comp4_file(name), f"the detections of {name}"):
            label(name)


def comp4_classes(folder: Path) -> list[str]:
    """Return the sorted names of the classes for which a folder has a ``comp4_det_<class>.txt``."""
    prefix, suffix = comp4_file("*").split("*")
    paths = require_folder(folder, "a folder of comp4_det_<class>.txt").glob(comp4_file("*"))
    return sorted(path.name.removeprefix(prefix).removesuffix(suffix) for path in paths)


def load_coco_results(
    path: Path, image_ids: Container[int], category_ids: Container[int], listing: Path
) -> list[dict[str, Any]]:
    """Return the rows of a COCO results file unchanged. Raises UserError for another format or an unknown id.

    listing: the file that has the ids.
    """
    rows = load_list(path, "a list of COCO results")
    for position, row in enumerate(rows, 1):
        location = f"{path}: result {position}"
        match row:
            case {"image_id": image_id, "category_id": category_id, "bbox": [_, _, _, _] as box, "score": score} if (
                are_numbers([*box, score])
            ):
                if not isinstance(image_id, int) or image_id not in image_ids:
                    raise UserError(
                        f"{location}: expected the image_id of an image in {listing}, found {shorten(image_id)}"
                    )
                if not isinstance(category_id, int) or category_id not in category_ids:
                    raise UserError(
                        f"{location}: expected the category_id of a category in {listing}, found {shorten(category_id)}"
                    )
            case _:
                expected = '"image_id", "category_id", "bbox" [x, y, width, height] and "score"'
                raise UserError(f"{location}: expected {expected}, found {shorten(row)}")
    return rows


def parse_image_record(location: str, record: object, labels: dict[str, int]) -> Prediction:
    """Return the Prediction of an element of ``predictions.json``. An error message starts with ``location``."""
    match record:
        case {"file": str(file), "width": int(width), "height": int(height), "detections": list(detections), **more}:
            rows = [
                _parse_detection(f"{location}: detection {position}", row, labels)
                for position, row in enumerate(detections, 1)
            ]
            return replace(
                to_prediction(file, (height, width), rows),
                masks=_parse_masks(location, detections),
                frame=parse_frame(location, more.get("frame"), more.get("time")),
                tracks=parse_tracks(location, detections),
            )
    raise UserError(f'{location}: expected "file", "width", "height" and "detections", found {shorten(record)}')


def _parse_detection(location: str, row: object, labels: dict[str, int]) -> DetectionRow:
    match row:
        case {"box": [_, _, _, _] as box, "label": str(label), "score": score} if are_numbers([*box, score]):
            if label in labels:
                return box, score, labels[label]
            raise UserError(
                f"{location}: expected one of {', '.join(labels)}, found {label}{did_you_mean(label, labels)}"
            )
    raise UserError(f'{location}: expected "box" [x1, y1, x2, y2], "label" and "score", found {shorten(row)}')


def parse_frame(location: str, index: object, seconds: object) -> FrameTime | None:
    """Return the frame of a video; None for a photo, which has neither number."""
    if index is None and seconds is None:
        return None
    if type(index) is not int or index < 0 or not are_numbers([seconds]):
        raise UserError(f'{location}: expected the number "frame" and "time" in seconds, found {index} and {seconds}')
    return FrameTime(index, float(str(seconds)))


def parse_tracks(location: str, rows: Sequence[dict[str, Any]]) -> np.ndarray | None:
    """Return the track of each detection (D,) int64, 0 for none (null); None where no row has the key."""
    if not any("track" in row for row in rows):
        return None
    tracks = [row.get("track") or 0 for row in rows]
    for track in tracks:
        if type(track) is not int or track < 0:
            raise UserError(f'{location}: expected "track", a number from 1 on or null, found {shorten(track)}')
    return np.asarray(tracks, np.int64)


def _parse_masks(location: str, rows: Sequence[dict[str, Any]]) -> tuple[RleMask, ...] | None:
    """Return the mask of each detection; None where none has one. Raises UserError where only some have."""
    masks = [row["mask"] for row in rows if "mask" in row]
    if not masks:
        return None
    if len(masks) < len(rows):
        raise UserError(f'{location}: expected "mask" in each of {len(rows)} detections or in none, found {len(masks)}')
    locations = (f"{location}: detection {position}: mask" for position in range(1, len(rows) + 1))
    return tuple(
        parse_rle(location, mask if isinstance(mask, dict) else {})
        for location, mask in zip(locations, masks, strict=True)
    )


def _parse_comp4_line(location: str, line: str) -> tuple[str, list[float], float]:
    """Return (name, box, score) of a comp4 line. The name may contain spaces."""
    try:
        name, score_text, xmin, ymin, xmax, ymax = line.rsplit(maxsplit=5)
        box, score = [_decode_corner(xmin), _decode_corner(ymin), float(xmax), float(ymax)], float(score_text)
    except (ValueError, ArithmeticError):
        box, score = [math.nan], math.nan
    if not are_numbers([*box, score]):
        raise UserError(f"{location}: expected image score xmin ymin xmax ymax, found {shorten(line)}")
    return name, box, score


def _decode_corner(text: str) -> float:
    """Return the 0-based coordinate of a 1-based text, exactly as ``result_writers.write_comp4`` received it."""
    return float(Decimal(text) - 1)


def _find_image(location: str, name: str, images: ImageNames) -> int:
    try:
        return images.find(name)
    except UserError as error:
        raise UserError(f"{location}: {error}") from error


def _to_predictions(annotations: Annotations, rows: Sequence[Sequence[DetectionRow]]) -> list[Prediction]:
    """Return a Prediction for each image from its rows."""
    return [
        to_prediction(annotations.file(index), annotations.size(index), image_rows)
        for index, image_rows in enumerate(rows)
    ]


def to_prediction(file: str, size: Size, rows: Sequence[DetectionRow]) -> Prediction:
    """Return the rows of an image of ``size`` (h, w) as a Prediction."""
    return Prediction(
        file=file,
        width=size[1],
        height=size[0],
        boxes=np.asarray([box for box, _, _ in rows], np.float64).reshape(-1, 4),
        scores=np.asarray([score for _, score, _ in rows], np.float64),
        labels=np.asarray([label for _, _, label in rows], np.int64),
    )


def labels_by_name(source: str, classes: Sequence[str]) -> Callable[[str], int]:
    """Return a function from the name of a class to its label, which raises UserError for another name."""
    known = {name: label for label, name in enumerate(classes, 1)}

    def label(name: str) -> int:
        if name not in known:
            listed = ", ".join(known)
            raise UserError(f"{source}: expected classes among {listed}, found {name}{did_you_mean(name, known)}")
        return known[name]

    return label


def load_list(path: Path, description: str) -> list[Any]:
    """Return the list in a JSON file. Raises UserError if it contains something else, or no JSON."""
    document = read_json_file(path, description)
    if not isinstance(document, list):
        raise UserError(f"{path}: expected {description}, found {shorten(document)}")
    return document


def are_numbers(values: Sequence[object]) -> bool:
    """Return True if all values are numbers that are finite as floats."""
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER for value in values
    )
