"""Reads detections in any of the formats of ``result_formats.py``, with the images and classes that they are of."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from detect.data.formats.yolo_names import require_spelled_names, require_text
from detect.data.image_names import ImageNames
from detect.data.images import image_size
from detect.errors import UserError, shorten
from detect.evaluation.predictions import Prediction
from detect.inference.coco_results import describe_listing, listing_file, read_coco, read_coco_listing
from detect.inference.listed_images import ListedImages, match_predictions, match_rows, without_objects
from detect.inference.result_readers import (
    DetectionRow,
    are_numbers,
    comp4_classes,
    json_classes,
    labels_by_name,
    load_list,
    read_comp4,
    read_json,
    to_prediction,
)
from detect.inference.shards.read_parts import part_files, read_parts
from detect.system.files import read_text, require_file
from detect.system.yaml_files import read_yaml

ReadableFormat = Literal["json", "csv", "coco", "voc", "yolo", "parts"]
_CSV_COLUMNS = ("file", "label", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Results:
    """Detections that were read: a Prediction for each image, and the names of the classes.

    unreadable: the addresses of photos in parts that could not be read, which have no Prediction; gaps: lines about
    photos that have no row in the parts; notes: lines about how the results were read.
    """

    predictions: list[Prediction]
    classes: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def results_format(path: Path) -> ReadableFormat:
    """Return the format of a file or folder of results. Raises UserError if it is none of them."""
    if part_files(path):
        return "parts"
    if path.is_dir():
        if any(path.glob("comp4_det_*.txt")):
            return "voc"
        if (path / "data.yaml").is_file():
            return "yolo"
        raise UserError(
            f"{path}: expected a file of results, comp4_det_<class>.txt, data.yaml or part-*.parquet, "
            "found another folder"
        )
    if path.suffix.lower() == ".csv":
        return "csv"
    rows = load_list(path, "detections of `detect predict` (json, csv, coco, voc, yolo)")
    return "coco" if rows and isinstance(rows[0], dict) and "image_id" in rows[0] else "json"


def read_results(
    path: Path,
    images: ListedImages | None = None,
    annotations: Path | None = None,
    classes: Sequence[str] | None = None,
) -> Results:
    """Read results in any format. An image of ``images`` without detections is there too.

    images: which voc and yolo need, and csv and coco where their paths lead to no image here; annotations: the COCO
    file whose ids coco has if no list of ``detect predict`` lies beside it; all formats take their images from it if
    ``images`` is None; classes: in this order, None for that of the file. Raises UserError for what cannot be read, for
    a detection whose image or class is not known, and for a photo of another size than that of its detections.
    """
    kind = results_format(path)
    if (
        annotations is not None
        and images is None
        and (kind != "coco" or listing_file(path, annotations) != annotations)
    ):
        images = _annotated_images(annotations, path)
    if kind == "coco":
        return _read_coco(path, images, annotations, classes)
    if kind == "json":
        names = tuple(classes or json_classes(path))
        return Results(match_predictions(path, images, read_json(path, names)), names)
    if kind == "parts":
        return _read_parts(path, images, classes)
    if kind == "csv":
        return _read_csv(path, images, classes)
    if images is None:
        raise UserError(f"{path}: expected --images with {kind}, which has neither paths nor sizes, found none")
    if kind == "voc":
        names = tuple(classes or comp4_classes(path))
        return Results(read_comp4(path, without_objects(images, names)), names)
    return _read_yolo(path, images, classes)


def _annotated_images(annotations: Path, results: Path) -> ListedImages:
    listing = read_coco_listing(annotations, results)
    return ListedImages(tuple(listing.files.values()), tuple(listing.sizes.values()), are_photos=False)


def _read_coco(
    path: Path, images: ListedImages | None, annotations: Path | None, classes: Sequence[str] | None
) -> Results:
    listing = read_coco_listing(listing_file(path, annotations), path)
    names = tuple(classes or listing.categories.values())
    predictions = read_coco(path, listing, names)
    if images is not None:  # a data set may list many more images than these
        detected = [prediction for prediction in predictions if len(prediction) or prediction.frame]
        predictions = match_predictions(listing.file, images, detected)
    return Results(predictions, names, notes=describe_listing(path, annotations))


def _read_csv(path: Path, images: ListedImages | None, classes: Sequence[str] | None) -> Results:
    rows = csv.DictReader(io.StringIO(read_text(path, "a CSV file of detections"), newline=""))
    if tuple(rows.fieldnames or ()) != _CSV_COLUMNS:
        raise UserError(f"{path}: expected the columns {','.join(_CSV_COLUMNS)}, found {shorten(rows.fieldnames)}")
    records = [(f"{path}: line {rows.line_num}", row) for row in rows]
    names = tuple(classes or sorted({str(row["label"]) for _, row in records}))
    labels = labels_by_name(str(path), names)
    by_file: dict[str, list[DetectionRow]] = {}
    for location, row in records:
        numbers = _parse_numbers(location, [row[name] or "" for name in _CSV_COLUMNS[2:]])
        by_file.setdefault(str(row["file"]), []).append((numbers[1:], numbers[0], labels(str(row["label"]))))
    if images is None:
        sizes = {file: image_size(require_file(Path(file), f"an image of {path}, or --images")) for file in by_file}
        return Results([to_prediction(file, sizes[file], detections) for file, detections in by_file.items()], names)
    return Results(match_rows(images, by_file), names)


def _read_yolo(folder: Path, images: ListedImages, classes: Sequence[str] | None) -> Results:
    data_file, expected = folder / "data.yaml", "the classes of the detections"
    content = read_yaml(data_file, expected)
    listed = content.get("names") if isinstance(content, dict) else None
    known = dict(enumerate(listed)) if isinstance(listed, list) else listed
    if not isinstance(known, dict) or not known:
        raise UserError(f'{data_file}: expected "names", found {shorten(listed)}')
    require_text(data_file, known.values())
    require_spelled_names(data_file, read_text(data_file, expected))
    names = tuple(classes or map(str, known.values()))
    labels = labels_by_name(str(folder), names)
    by_file: dict[str, list[DetectionRow]] = {}
    image_names = ImageNames(images.files)
    for file in sorted(folder.rglob("*.txt")):
        name = file.relative_to(folder).with_suffix("").as_posix()
        height, width = images.sizes[image_names.find(name)]
        file_rows = by_file.setdefault(name, [])
        for position, line in enumerate(read_text(file, "detections").splitlines(), 1):
            location = f"{file}: line {position}"
            numbers = _parse_numbers(location, line.split())
            if len(numbers) != 6 or numbers[0] not in known:
                raise UserError(f"{location}: expected class cx cy w h score, the class of data.yaml, found {line}")
            index_of_class, cx, cy, w, h, score = numbers
            box = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
            file_rows.append((box, score, labels(str(known[int(index_of_class)]))))
    return Results(match_rows(images, by_file), names)


def _read_parts(path: Path, images: ListedImages | None, classes: Sequence[str] | None) -> Results:
    parts = read_parts(path)
    names = tuple(classes or parts.classes)
    labels = labels_by_name(str(path), names)
    new_labels = np.array([0, *(labels(name) for name in parts.classes)], np.int64)
    predictions = [replace(prediction, labels=new_labels[prediction.labels]) for prediction in parts.predictions]
    return Results(match_predictions(path, images, predictions), names, parts.unreadable, parts.gaps)


def _parse_numbers(location: str, texts: Sequence[str]) -> list[float]:
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = [float("nan")]
    if not are_numbers(numbers):
        raise UserError(f"{location}: expected numbers, found {shorten(' '.join(texts))}")
    return numbers
