"""The results of a prediction run in every format that was asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.errors import UserError, nearest
from detect.evaluation.predictions import PhotoNames, Prediction
from detect.files import existing_file
from detect.predict.formats import write_coco, write_coco_images, write_comp4, write_csv, write_json, write_yolo


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
    existing_file(annotations, "a COCO annotation file")
    try:
        dataset: dict[str, Any] = json.loads(annotations.read_text(encoding="utf-8"))
        names = [str(image["file_name"]) for image in dataset["images"]]
        numbers = [int(image["id"]) for image in dataset["images"]]
        categories = {str(category["name"]): int(category["id"]) for category in dataset["categories"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{annotations}: expected COCO annotations with images and categories, found {error!r}"
        ) from None
    for name in classes:
        if name not in categories:
            raise UserError(
                f"{annotations}: expected the class {name}, found no such category{nearest(name, categories)}"
            )
    known = PhotoNames(names)
    images = {str(photo): numbers[known.find(str(photo))] for photo in photos}
    return CocoIds(images, tuple(categories[name] for name in classes))
