#!/usr/bin/env python3
"""Score VOC results without a model: mAP and the AP of each class, by the official rules.

    tools/eval_voc.py --root VOC2007 --split LIST --results DT [--metric voc07|voc12] [--json FILE]

DT is a predictions.json of `detect predict` or of `detect eval --save`, COCO results with the list of their images
beside them (coco_images.json of coco_results.json), or a folder of comp4_det_<class>.txt. An image without results
counts as one without detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import rich

from detect.cli.exit_status import run_command
from detect.data.annotations import Annotations
from detect.data.formats.voc import read_voc
from detect.errors import did_you_mean
from detect.evaluation.predictions import align
from detect.evaluation.score import evaluate, write_score
from detect.evaluation.score_tables import score_table
from detect.evaluation.voc import VocMetric
from detect.inference.result_files import read_results
from detect.inference.result_readers import comp4_classes, read_comp4
from detect.system.numbers import format_count


@click.command(help=__doc__)
@click.option(
    "--root", required=True, type=click.Path(path_type=Path), help="Folder of one year in a VOC devkit, e.g. VOC2007."
)
@click.option("--split", required=True, help="Name of a list in ImageSets/Main.")
@click.option("--results", required=True, type=click.Path(path_type=Path), help="File or folder with the detections.")
@click.option("--metric", type=click.Choice(["voc07", "voc12"]), default="voc07", show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the metrics to this file.")
def main(root: Path, split: str, results: Path, metric: VocMetric, json_file: Path | None) -> None:
    """Score the results and print a table."""
    annotations = read_voc(root, split, None)
    if results.is_dir():
        annotations = _with_classes(annotations, comp4_classes(results))
        predictions = read_comp4(results, annotations)
    else:
        read = read_results(results)
        for line in read.gaps:
            click.echo(f"eval_voc: {line}", err=True)
        if read.unreadable:
            photos = format_count(len(read.unreadable), "photo")
            click.echo(f"eval_voc: {photos} could not be read: no detections", err=True)
        annotations = _with_classes(annotations, read.classes)
        predictions = align(annotations, read_results(results, classes=annotations.classes).predictions)
    score = evaluate(annotations, predictions, metric)
    if json_file is not None:
        write_score(json_file, score)
    rich.print(score_table(score))


def _with_classes(annotations: Annotations, names: Sequence[str]) -> Annotations:
    """Return the annotations with the classes of the results added; warn about classes without ground truth."""
    unknown = [name for name in names if name not in annotations.classes]
    for name in unknown:
        click.echo(f"eval_voc: no ground truth of {name}{did_you_mean(name, annotations.classes)}", err=True)
    classes = (*annotations.classes, *unknown)
    return replace(annotations, classes=classes, category_ids=np.arange(1, len(classes) + 1))


if __name__ == "__main__":
    run_command(main, "eval_voc")
