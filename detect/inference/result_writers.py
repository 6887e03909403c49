"""The files that detections are written to, each whole or not at all (``results.py`` reads them).

Numbers are written so that reading gives back the same float: rounded scores would tie, and be ranked otherwise.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from detect.data.formats import coco_json
from detect.data.image_names import ImageNames, below_shared_folder
from detect.errors import UserError, nearest
from detect.evaluation.predictions import Prediction
from detect.system.files import write_text


def write_json(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """``predictions.json``: one image a line, its detections best first, boxes in pixels of the original image."""
    write_text(path, _json_lines(image_record(prediction, classes) for prediction in predictions))


def write_csv(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """``predictions.csv``: ``file,label,score,x1,y1,x2,y2``, a row a detection, best first in each image."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file", "label", "score", "x1", "y1", "x2", "y2"))
    for prediction in predictions:
        for box, label, score in ranked(prediction):
            rows.writerow((prediction.file, classes[label - 1], score, *box))
    write_text(path, text.getvalue())


def write_yolo(folder: Path, predictions: Sequence[Prediction]) -> None:
    """One text file an image, best first: ``class cx cy w h score``, class from 0, the rest in fractions."""
    names = image_names([prediction.file for prediction in predictions])
    for name, prediction in zip(names, predictions, strict=True):
        w, h = prediction.width, prediction.height
        lines = (
            f"{label - 1} {(x1 + x2) / 2 / w!r} {(y1 + y2) / 2 / h!r} {(x2 - x1) / w!r} {(y2 - y1) / h!r} {score!r}\n"
            for (x1, y1, x2, y2), label, score in ranked(prediction)
        )
        write_text(folder / f"{name}.txt", "".join(lines))


def write_comp4(folder: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """VOC's ``comp4_det_<class>.txt``, one a class: ``image score xmin ymin xmax ymax``, corners 1-based and inclusive.

    The shift by one is made in decimal, so that it is exact and ``results.read_comp4`` can undo it.
    """
    lines: list[list[str]] = [[] for _ in classes]
    for name, prediction in zip(image_names([p.file for p in predictions]), predictions, strict=True):
        for (x1, y1, x2, y2), label, score in ranked(prediction):
            lines[label - 1].append(f"{name} {score!r} {_plus_one(x1)} {_plus_one(y1)} {x2!r} {y2!r}\n")
    for class_name, mine in zip(classes, lines, strict=True):
        write_text(folder / comp4_file(class_name), "".join(mine))


def comp4_file(class_name: str) -> str:
    """The name of the text file that holds the detections of a class."""
    return f"comp4_det_{class_name}.txt"


def write_coco(
    path: Path,
    predictions: Sequence[Prediction],
    image_ids: Sequence[int] | np.ndarray,
    category_ids: Sequence[int] | np.ndarray,
) -> None:
    """``coco_results.json``: ``image_id, category_id, bbox [x, y, width, height], score``, best first in each image.

    image_ids: one a prediction; category_ids (K,): the id of label k is ``category_ids[k - 1]``.
    """
    rows = (
        {
            "image_id": int(image_id),
            "category_id": int(category_ids[label - 1]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for image_id, prediction in zip(image_ids, predictions, strict=True)
        for (x1, y1, x2, y2), label, score in ranked(prediction)
    )
    write_text(path, _json_lines(rows))


def write_coco_images(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """The list beside a ``coco_results.json`` without annotations: which image and class each number from 1 is."""
    files = below_shared_folder([prediction.file for prediction in predictions])
    images = [
        {"id": place, "file_name": file, "width": prediction.width, "height": prediction.height}
        for place, (file, prediction) in enumerate(zip(files, predictions, strict=True), 1)
    ]
    categories = [{"id": place, "name": name} for place, name in enumerate(classes, 1)]
    write_text(path, json.dumps({"images": images, "categories": categories}, indent=1, ensure_ascii=False) + "\n")


def ranked(prediction: Prediction) -> Iterator[tuple[list[float], int, float]]:
    """(box, label, score) of each detection, best first, equals as given."""
    order = np.argsort(-prediction.scores, kind="stable")
    columns = (prediction.boxes[order], prediction.labels[order], prediction.scores[order])
    return zip(*(column.tolist() for column in columns), strict=True)


def image_names(files: Sequence[str]) -> list[str]:
    """The shortest names that tell images apart: without folder and suffix, else below the folder that all share."""
    below = below_shared_folder(files)
    bare = [PurePath(name).with_suffix("").as_posix() for name in below]
    for names in ([PurePath(name).stem for name in below], bare):
        if len(set(names)) == len(files):
            return names
    return below


def image_record(prediction: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    """One image's element of ``predictions.json``."""
    return {
        "file": prediction.file,
        "width": prediction.width,
        "height": prediction.height,
        "detections": [
            {"box": box, "label": classes[label - 1], "score": score} for box, label, score in ranked(prediction)
        ],
    }


def _plus_one(number: float) -> str:
    return str(Decimal(repr(number)) + 1)


def _json_lines(rows: Iterator[dict[str, Any]]) -> str:
    """A JSON list with an element a line, so that two files can be compared by eye."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


@dataclass(frozen=True)
class CocoIds:
    """images: the id of each image by its path; categories: of each class in order."""

    images: dict[str, int]
    categories: tuple[int, ...]


def write_results(
    out: Path, formats: Sequence[str], predictions: Sequence[Prediction], classes: Sequence[str], ids: CocoIds | None
) -> None:
    """Each format a file or folder in ``out``; coco gets a list of its numbers where ``ids`` is None."""
    if "json" in formats:
        write_json(out / "predictions.json", predictions, classes)
    if "csv" in formats:
        write_csv(out / "predictions.csv", predictions, classes)
    if "voc" in formats:
        write_comp4(out / "voc", predictions, classes)
    if "yolo" in formats:
        write_yolo(out / "yolo", predictions)
    if "coco" in formats and ids is None:
        numbers = range(1, len(predictions) + 1)
        write_coco(out / "coco_results.json", predictions, numbers, range(1, len(classes) + 1))
        write_coco_images(out / "coco_images.json", predictions, classes)
    elif "coco" in formats and ids is not None:
        images = [ids.images[prediction.file] for prediction in predictions]
        write_coco(out / "coco_results.json", predictions, images, ids.categories)


def coco_ids(annotations: Path, image_files: Sequence[Path], classes: Sequence[str]) -> CocoIds:
    """The ids that a COCO annotation file gives the images and classes. UserError where it lacks one."""
    document = coco_json.load_document(annotations)
    records = list(enumerate(coco_json.records(annotations, document, "images"), start=1))
    names = [coco_json.file_name(annotations, place, record) for place, record in records]
    numbers = [coco_json.identifier(annotations, f"image {place}", record, "id") for place, record in records]
    listed = enumerate(coco_json.records(annotations, document, "categories"), start=1)
    found = [coco_json.category(annotations, place, record) for place, record in listed]
    categories = {category.name: category.id for category in found}
    for name in classes:
        if name not in categories:
            raise UserError(
                f"{annotations}: expected the class {name}, found no such category{nearest(name, categories)}"
            )
    known = ImageNames(names)
    images = {str(image): numbers[known.find(str(image))] for image in image_files}
    return CocoIds(images, tuple(categories[name] for name in classes))
