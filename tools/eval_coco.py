#!/usr/bin/env python3
"""Score COCO results without a model: the twelve metrics and the AP of each class, by the rules of pycocotools.

    tools/eval_coco.py --annotations GT.json --results DT.json [--json FILE]

DT.json holds COCO results, or is a predictions.json of `detect predict` or of `detect eval --save`, or the folder of
parts of `detect predict --from`; the images and classes of these are found in GT.json by their names, and so are those
of COCO results with a list of `detect` beside them (coco_images.json of coco_results.json). The images are not needed.
The files are scored as they are; the metrics equal those of pycocotools to the last digit, or a line on
stderr says which annotation ids make pycocotools' others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import click
import rich

from detect.cli.exit_status import run_command
from detect.data.formats import coco_json
from detect.errors import UserError, shorten
from detect.evaluation.coco import evaluate_coco_json
from detect.evaluation.predictions import Prediction
from detect.evaluation.score import Score, write_score
from detect.evaluation.score_tables import score_table
from detect.inference.coco_ids import coco_ids
from detect.inference.coco_results import describe_listing, listing_file, read_coco_listing, renumber_rows
from detect.inference.result_readers import json_classes, load_coco_results, load_list, read_json
from detect.inference.result_writers import coco_rows
from detect.inference.shards.read_parts import part_files, read_parts
from detect.system.numbers import format_count


@click.command(help=__doc__)
@click.option("--annotations", required=True, type=click.Path(path_type=Path), help="COCO annotation file.")
@click.option("--results", required=True, type=click.Path(path_type=Path), help="COCO results file.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the metrics to this file.")
def main(annotations: Path, results: Path, json_file: Path | None) -> None:
    """Score the results and print a table."""
    dataset = _load_dataset(annotations)
    images = {row["id"] for row in dataset["images"]}
    rows = _load_results(results, annotations, images, {row["id"] for row in dataset["categories"]})
    start = time.perf_counter()
    result = evaluate_coco_json(dataset, rows)
    score = Score("coco", result.metrics, result.per_class, len(images), time.perf_counter() - start)
    if json_file is not None:
        write_score(json_file, score)
    if (warning := coco_json.id_warning(dataset["annotations"])) is not None:
        click.echo(f"eval_coco: {warning}", err=True)
    rich.print(score_table(score))


def _load_results(
    results: Path, annotations: Path, image_ids: Container[int], category_ids: Container[int]
) -> list[dict[str, Any]]:
    """Return COCO results with the ids of the annotations: as they are, or by the names of images and classes.

    Photos of parts that could not be read have no results, and are counted on stderr; so are shards without a part.
    """
    if part_files(results):
        parts = read_parts(results)
        for line in parts.gaps:
            click.echo(f"eval_coco: {line}", err=True)
        if parts.unreadable:
            photos = format_count(len(parts.unreadable), "photo")
            click.echo(f"eval_coco: {photos} could not be read: no detections", err=True)
        return _with_ids(parts.predictions, parts.classes, annotations)
    entries = load_list(results, "COCO results or a predictions.json")
    if not (entries and isinstance(entries[0], dict) and "file" in entries[0]):
        return _load_coco_rows(results, annotations, image_ids, category_ids)
    classes = json_classes(results)
    return _with_ids(read_json(results, classes), classes, annotations)


def _load_coco_rows(
    results: Path, annotations: Path, image_ids: Container[int], category_ids: Container[int]
) -> list[dict[str, Any]]:
    """Return COCO results as they are, or with the ids of the annotations if a list beside them has their own ids."""
    file = listing_file(results, annotations)
    if file == annotations:
        return load_coco_results(results, image_ids, category_ids, annotations)
    listing = read_coco_listing(file, results)
    rows = renumber_rows(load_coco_results(results, listing.files, listing.categories, file), listing, annotations)
    for line in describe_listing(results, annotations):
        click.echo(f"eval_coco: {line}", err=True)
    return rows


def _with_ids(predictions: Sequence[Prediction], classes: Sequence[str], annotations: Path) -> list[dict[str, Any]]:
    """Return COCO results with the ids of the annotations, by the names of images and classes."""
    ids = coco_ids(annotations, [prediction.file for prediction in predictions], classes)
    category_ids = ids.detected_category_ids(predictions, classes)
    return [
        row for prediction in predictions for row in coco_rows(prediction, ids.image_ids[prediction.file], category_ids)
    ]


def _load_dataset(path: Path) -> dict[str, Any]:
    """Load COCO's ground truth and check the fields that scoring reads."""
    dataset = coco_json.load_document(path)
    for index, row in enumerate(coco_json.get_records(path, dataset, "images"), start=1):
        coco_json.parse_id(path, f"image {index}", row, "id")
    for index, row in enumerate(coco_json.get_records(path, dataset, "categories"), start=1):
        coco_json.parse_category(path, index, row)
    for index, row in enumerate(coco_json.get_records(path, dataset, "annotations"), start=1):
        annotation = coco_json.parse_annotation(path, index, row)
        if not all(map(math.isfinite, annotation.corners)):
            raise UserError(
                f'{path}: {annotation.location}: "bbox": expected finite numbers, found {shorten(row["bbox"])}'
            )
    return dataset


if __name__ == "__main__":
    run_command(main, "eval_coco")
