"""Writes detections to result files, each completely or not at all. ``result_readers.py`` reads them.

Numbers are written so that reading them gives the same float. Rounded scores could be equal and change the ranking.
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
from detect.data.formats.mask_json import mask_record
from detect.data.image_names import ImageNames, relative_to_shared_folder
from detect.errors import UserError, did_you_mean
from detect.evaluation.predictions import Prediction
from detect.system.files import fit_name, write_text


def write_json(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write ``predictions.json``: an image per line, detections best first, boxes in pixels of the original image."""
    write_text(path, _json_lines(image_record(prediction, classes) for prediction in predictions))


def write_csv(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write ``predictions.csv``: ``file,label,score,x1,y1,x2,y2``, one detection per row, best first in each image."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(("file", "label", "score", "x1", "y1", "x2", "y2"))
    for prediction in predictions:
        for box, label, score in sorted_by_score(prediction):
            rows.writerow((prediction.file, classes[label - 1], score, *box))
    write_text(path, stream.getvalue())


def write_yolo(folder: Path, predictions: Sequence[Prediction]) -> None:
    """Write one text file per image, best first: ``class cx cy w h score``, class from 0, the box in fractions."""
    names = short_image_names([prediction.file for prediction in predictions])
    for name, prediction in zip(names, predictions, strict=True):
        w, h = prediction.width, prediction.height
        lines = (
            f"{label - 1} {(x1 + x2) / 2 / w!r} {(y1 + y2) / 2 / h!r} {(x2 - x1) / w!r} {(y2 - y1) / h!r} {score!r}\n"
            for (x1, y1, x2, y2), label, score in sorted_by_score(prediction)
        )
        path = PurePath(name)
        write_text(folder / path.parent / fit_name(path.name, ".txt"), "".join(lines))


def write_comp4(folder: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write VOC's ``comp4_det_<class>.txt`` for each class: ``image score xmin ymin xmax ymax``.

    Corners are 1-based and inclusive. The shift by one is computed in decimal, so that it is exact and
    ``result_readers.read_comp4`` can undo it.
    """
    lines: list[list[str]] = [[] for _ in classes]
    for name, prediction in zip(short_image_names([p.file for p in predictions]), predictions, strict=True):
        for (x1, y1, x2, y2), label, score in sorted_by_score(prediction):
            lines[label - 1].append(f"{name} {score!r} {_encode_corner(x1)} {_encode_corner(y1)} {x2!r} {y2!r}\n")
    for class_name, class_lines in zip(classes, lines, strict=True):
        write_text(folder / comp4_file(class_name), "".join(class_lines))


def comp4_file(class_name: str) -> str:
    """Return the name of the text file with the detections of a class."""
    return f"comp4_det_{class_name}.txt"


def write_coco(
    path: Path,
    predictions: Sequence[Prediction],
    image_ids: Sequence[int] | np.ndarray,
    category_ids: Sequence[int] | np.ndarray,
) -> None:
    """Write ``coco_results.json``: ``image_id, category_id, bbox [x, y, width, height], score``, best first per image.

    Detections with a mask have ``segmentation`` besides.

    image_ids (N,): one per prediction; category_ids (K,): the id of label k is ``category_ids[k - 1]``.
    """
    rows = (
        {
            "image_id": int(image_id),
            "category_id": int(category_ids[label - 1]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
            **mask,
        }
        for image_id, prediction in zip(image_ids, predictions, strict=True)
        for ((x1, y1, x2, y2), label, score), mask in zip(
            sorted_by_score(prediction), _masks_by_score(prediction, "segmentation"), strict=True
        )
    )
    write_text(path, _json_lines(rows))


def write_coco_images(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write the images and classes to which the ids of a ``coco_results.json`` without annotations refer, from 1."""
    files = relative_to_shared_folder([prediction.file for prediction in predictions])
    images = [
        {"id": image_id, "file_name": file, "width": prediction.width, "height": prediction.height}
        for image_id, (file, prediction) in enumerate(zip(files, predictions, strict=True), 1)
    ]
    categories = [{"id": category_id, "name": name} for category_id, name in enumerate(classes, 1)]
    write_text(path, json.dumps({"images": images, "categories": categories}, indent=1, ensure_ascii=False) + "\n")


def sorted_by_score(prediction: Prediction) -> Iterator[tuple[list[float], int, float]]:
    """Return (box, label, score) of each detection, best first; detections of equal score keep their order."""
    order = np.argsort(-prediction.scores, kind="stable")
    columns = (prediction.boxes[order], prediction.labels[order], prediction.scores[order])
    return zip(*(column.tolist() for column in columns), strict=True)


def short_image_names(files: Sequence[str]) -> list[str]:
    """Return the shortest names that differ for all images.

    They are the file names without suffix, or the paths below the folder that all images share, without suffix if these
    differ.
    """
    paths = relative_to_shared_folder(files)
    without_suffix = [PurePath(path).with_suffix("").as_posix() for path in paths]
    for names in ([PurePath(path).stem for path in paths], without_suffix):
        if len(set(names)) == len(files):
            return names
    return paths


def image_record(prediction: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    """Return the element of ``predictions.json`` for one image."""
    return {
        "file": prediction.file,
        "width": prediction.width,
        "height": prediction.height,
        "detections": [
            {"box": box, "label": classes[label - 1], "score": score, **mask}
            for (box, label, score), mask in zip(
                sorted_by_score(prediction), _masks_by_score(prediction, "mask"), strict=True
            )
        ],
    }


def _masks_by_score(prediction: Prediction, key: str) -> list[dict[str, Any]]:
    """Return COCO's run lengths of each detection under ``key``, best first; nothing where there are no masks."""
    if prediction.masks is None:
        return [{}] * len(prediction)
    order = np.argsort(-prediction.scores, kind="stable")
    return [{key: mask_record(prediction.masks[index])} for index in order]


def _encode_corner(coordinate: float) -> str:
    return str(Decimal(repr(coordinate)) + 1)


def _json_lines(rows: Iterator[dict[str, Any]]) -> str:
    """Return a JSON list with one element per line, so that people can compare two files."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


@dataclass(frozen=True)
class CocoIds:
    """The ids of a COCO annotation file.

    image_ids: the id of each image, by its path; category_ids: the id of each class, in order.
    """

    image_ids: dict[str, int]
    category_ids: tuple[int, ...]


def write_results(
    out: Path, formats: Sequence[str], predictions: Sequence[Prediction], classes: Sequence[str], ids: CocoIds | None
) -> None:
    """Write each format to a file or folder in ``out``. If ``ids`` is None, coco gets a second file with its ids."""
    if "json" in formats:
        write_json(out / "predictions.json", predictions, classes)
    if "csv" in formats:
        write_csv(out / "predictions.csv", predictions, classes)
    if "voc" in formats:
        write_comp4(out / "voc", predictions, classes)
    if "yolo" in formats:
        write_yolo(out / "yolo", predictions)
    if "coco" in formats and ids is None:
        image_ids = range(1, len(predictions) + 1)
        write_coco(out / "coco_results.json", predictions, image_ids, range(1, len(classes) + 1))
        write_coco_images(out / "coco_images.json", predictions, classes)
    elif "coco" in formats and ids is not None:
        annotated_ids = [ids.image_ids[prediction.file] for prediction in predictions]
        write_coco(out / "coco_results.json", predictions, annotated_ids, ids.category_ids)


def coco_ids(annotations: Path, image_files: Sequence[Path], classes: Sequence[str]) -> CocoIds:
    """Return the ids of the images and classes in a COCO annotation file. Raises UserError if one is missing."""
    document = coco_json.load_document(annotations)
    records = list(enumerate(coco_json.get_records(annotations, document, "images"), start=1))
    names = [coco_json.parse_file_name(annotations, position, record) for position, record in records]
    ids = [coco_json.parse_id(annotations, f"image {position}", record, "id") for position, record in records]
    category_records = enumerate(coco_json.get_records(annotations, document, "categories"), start=1)
    parsed = (coco_json.parse_category(annotations, position, record) for position, record in category_records)
    categories = {category.name: category.id for category in parsed}
    for name in classes:
        if name not in categories:
            raise UserError(
                f"{annotations}: expected the class {name}, found no such category{did_you_mean(name, categories)}"
            )
    images = ImageNames(names)
    image_ids = {str(file): ids[images.find(str(file))] for file in image_files}
    return CocoIds(image_ids, tuple(categories[name] for name in classes))
