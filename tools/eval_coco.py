#!/usr/bin/env python3
"""Score COCO results without any model: the twelve numbers and the AP of each class, by the rules of pycocotools.

    tools/eval_coco.py --annotations GT.json --results DT.json [--json FILE]

The photos are not needed. The files are scored as they stand; the numbers are pycocotools' to the last digit.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import rich

from detect.cli.outcome import run_command
from detect.errors import UserError
from detect.evaluation.coco import evaluate_coco_json
from detect.evaluation.score import Score, write_score
from detect.evaluation.table import score_table
from detect.files import existing_file
from detect.predict.results import load_coco_results

_FIELDS = {"images": {"id"}, "categories": {"id", "name"}, "annotations": {"image_id", "category_id", "bbox"}}


@click.command(help=__doc__)
@click.option("--annotations", required=True, type=click.Path(path_type=Path), help="COCO ground truth.")
@click.option("--results", required=True, type=click.Path(path_type=Path), help="A list of COCO results.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Where to write the score as JSON.")
def main(annotations: Path, results: Path, json_file: Path | None) -> None:
    """Score the results and print a table."""
    dataset = _load_dataset(annotations)
    images = {row["id"] for row in dataset["images"]}
    rows = load_coco_results(results, images, {row["id"] for row in dataset["categories"]})
    start = time.perf_counter()
    result = evaluate_coco_json(dataset, rows)
    score = Score("coco", result.numbers, result.per_class, len(images), time.perf_counter() - start)
    if json_file is not None:
        write_score(json_file, score)
    rich.print(score_table(score))


def _load_dataset(path: Path) -> dict[str, Any]:
    """COCO's ground truth, with the fields that scoring reads."""
    try:
        dataset: dict[str, Any] = json.loads(existing_file(path, "a COCO annotation file").read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: expected COCO annotations, found damaged JSON: {error}") from error
    for part, fields in _FIELDS.items():
        if not isinstance(dataset, dict) or not isinstance(dataset.get(part), list):
            raise UserError(f'{path}: expected COCO annotations with a list of "{part}", found none')
        for place, row in enumerate(dataset[part], 1):
            missing = sorted(fields - set(row if isinstance(row, dict) else ()))
            if missing:
                raise UserError(f'{path}: {part}: entry {place}: expected "{missing[0]}", found none')
    return dataset


if __name__ == "__main__":
    run_command(main, "eval_coco")
