#!/usr/bin/env python3
"""Score the boxes and the masks of a detector, with the 95% interval of each AP (a bootstrap over the images).

    tools/mask_intervals.py MODEL [--split val] [--set data.root=ROOT]...

The APs are those of `detect eval MODEL --metric coco`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import rich
from rich.table import Table

from detect.cli import options
from detect.cli.exit_status import run_command
from detect.config.builders.data import read_split_for_model
from detect.data.annotations import Annotations
from detect.errors import UserError
from detect.evaluation.analysis.bootstrap import Interval, bootstrap
from detect.evaluation.analysis.matches import match
from detect.evaluation.mask_columns import mask_columns, mask_fault
from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import COCO_AP, COCO_AP50, Rules
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.load import load

RULES: dict[str, Rules] = {
    "boxes AP": COCO_AP,
    "boxes AP50": COCO_AP50,
    "masks AP": replace(COCO_AP, layout=mask_columns),
    "masks AP50": replace(COCO_AP50, layout=mask_columns),
}


@click.command(help=__doc__)
@click.argument("model", type=Path)
@click.option("--split", type=click.Choice(["train", "val"]), default="val", show_default=True)
@options.settings
def main(model: Path, split: str, overrides: tuple[str, ...]) -> None:
    """Detect on a split and print a table."""
    predictor = load(model, "auto", "fp32", overrides)
    annotations, notes = read_split_for_model(predictor.config, split, predictor.classes)
    for line in notes:
        click.echo(line)
    predictions = predict_dataset(predictor, annotations, predictor.config).predictions
    table = Table("", "value", "low", "high", title=f"{len(annotations)} images")
    for name, interval in intervals(annotations, predictions).items():
        ends = () if interval is None else (interval.value, interval.low, interval.high)
        table.add_row(name, *(f"{100 * end:.1f}" for end in ends))
    rich.print(table)


def intervals(annotations: Annotations, predictions: Sequence[Prediction]) -> dict[str, Interval | None]:
    """Return the interval of each AP of RULES, None where there is no ground truth.

    Raises UserError where an object or a detection has no mask.
    """
    fault = mask_fault(annotations, predictions)
    if fault is not None:
        raise UserError(f"MODEL: expected masks of all objects and detections, but {fault}")
    return {name: bootstrap(match(annotations, predictions, rules)).mAP for name, rules in RULES.items()}


if __name__ == "__main__":
    run_command(main, "mask_intervals")
