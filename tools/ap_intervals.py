#!/usr/bin/env python3
"""Score the boxes and the masks of a detector, with the 95% interval of each AP (a bootstrap over the images).

    tools/ap_intervals.py MODEL [--metric voc07] [--split val] [--set data.root=ROOT]...

The APs are those of `detect eval MODEL --metric METRIC`. COCO's metric scores the masks too, where all objects and all
detections have one; where detections have masks and it does not, a line says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import rich
from rich.table import Table

from detect.cli import options
from detect.cli.exit_status import run_command
from detect.config.builders.data import read_split_for_model
from detect.data.annotations import Annotations
from detect.evaluation.analysis.bootstrap import Interval, bootstrap
from detect.evaluation.analysis.matches import METRIC_RULES, match
from detect.evaluation.mask_columns import mask_columns, mask_fault
from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import COCO_AP, COCO_AP50, Rules
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.load import load

RULES: dict[str, dict[str, Rules]] = {
    "coco": {"boxes AP": COCO_AP, "boxes AP50": COCO_AP50},
    "voc07": {"VOC07 mAP": METRIC_RULES["voc07"]},
    "voc12": {"VOC12 mAP": METRIC_RULES["voc12"]},
}
MASK_RULES = {
    "masks AP": replace(COCO_AP, layout=mask_columns),
    "masks AP50": replace(COCO_AP50, layout=mask_columns),
}


@click.command(help=__doc__)
@click.argument("model", type=Path)
@click.option("--metric", type=click.Choice(list(RULES)), default="coco", show_default=True)
@click.option("--split", type=click.Choice(["train", "val"]), default="val", show_default=True)
@options.settings
def main(model: Path, metric: str, split: options.Split, overrides: tuple[str, ...]) -> None:
    """Detect on a split and print a table."""
    predictor = load(model, "auto", "fp32", overrides)
    annotations, notes = read_split_for_model(predictor.config, split, predictor.classes, overrides)
    for line in notes:
        click.echo(line)
    predictions = predict_dataset(predictor, annotations, predictor.config).predictions
    rules, mask_notes = choose_rules(metric, annotations, predictions)
    for line in mask_notes:
        click.echo(line)
    table = Table("", "value", "low", "high", title=f"{len(annotations)} images")
    for name, interval in intervals(annotations, predictions, rules).items():
        ends = () if interval is None else (interval.value, interval.low, interval.high)
        table.add_row(name, *(f"{100 * end:.1f}" for end in ends))
    rich.print(table)


def choose_rules(
    metric: str, annotations: Annotations, predictions: Sequence[Prediction]
) -> tuple[dict[str, Rules], tuple[str, ...]]:
    """Return the rules by which to score, and a line where detections have masks that cannot be scored."""
    if metric != "coco" or all(prediction.masks is None for prediction in predictions):
        return RULES[metric], ()
    fault = mask_fault(annotations, predictions)
    return (RULES[metric] | MASK_RULES, ()) if fault is None else (RULES[metric], (f"masks are not scored: {fault}",))


def intervals(
    annotations: Annotations, predictions: Sequence[Prediction], rules: Mapping[str, Rules]
) -> dict[str, Interval | None]:
    """Return the interval of the mean AP by each of the rules, None where there is no ground truth."""
    return {name: bootstrap(match(annotations, predictions, of_name)).mAP for name, of_name in rules.items()}


if __name__ == "__main__":
    run_command(main, "ap_intervals")
