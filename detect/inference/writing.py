"""The results of a prediction run in every format that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.data.formats import coco_json
from detect.errors import UserError, nearest
from detect.evaluation.predictions import PhotoNames, Prediction
from detect.inference.result_writers import (
    write_coco,
    write_coco_images,
    write_comp4,
    write_csv,
    write_json,
    write_yolo,
)


@dataclass(frozen=True)
class CocoIds:
    """images: the id of each photo by its path; categories: of each class in order."""

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


def coco_ids(annotations: Path, photos: Sequence[Path], classes: Sequence[str]) -> CocoIds:
    """The ids that a COCO annotation file gives the photos and classes. UserError where it lacks one."""
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
    known = PhotoNames(names)
    images = {str(photo): numbers[known.find(str(photo))] for photo in photos}
    return CocoIds(images, tuple(categories[name] for name in classes))
