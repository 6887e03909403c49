"""detect eval."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from detect.cli import options
from detect.cli.options import Device, Metric, Precision
from detect.files import place_for_file
from detect.memory import keep_freed_memory


@click.command("eval", epilog="Example: detect eval runs/faster_rcnn-1 --json score.json")
@click.argument("model", type=Path)
@click.option("--split", type=click.Choice(["train", "val"]), default="val", show_default=True)
@click.option(
    "--metric", type=click.Choice(["coco", "voc07", "voc12"]), help="[default: what the data's format calls for]"
)
@click.option("--compare", is_flag=True, help="Score under every profile too, and tell what each rule changes.")
@click.option("--save", type=Path, metavar="DT.json", help="Write the detections, as `detect predict` does.")
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the score.")
@options.settings
@options.device
@options.precision
def command(
    model: Path,
    split: str,
    metric: Metric | None,
    compare: bool,
    save: Path | None,
    json_file: Path | None,
    overrides: tuple[str, ...],
    device: Device | None,
    precision: Precision | None,
) -> None:
    """Score MODEL (a run folder: its best weights; or a checkpoint) on its own data, or on other data by --set."""
    keep_freed_memory()
    for file in (save, json_file):
        if file is not None:
            place_for_file(file)
    from detect.api import default_metric, detect_over
    from detect.build.data import split_data
    from detect.display import display
    from detect.evaluation.comparison import compare_profiles
    from detect.evaluation.score import evaluate, write_score
    from detect.evaluation.table import change_table, profile_table, score_table
    from detect.predict.formats import write_json
    from detect.predict.predictor import load

    predictor = load(model, device or "auto", precision or "fp32", overrides)
    config = predictor.config
    annotations = split_data(config, split, predictor.classes)
    console = Console()
    with display(console, "detecting", len(annotations), "photos") as shown:
        passed = detect_over(predictor, annotations, config, shown)
    score = evaluate(annotations, passed.predictions, metric or default_metric(config))
    console.print(score_table(score))
    profiles = compare_profiles(annotations, passed.predictions) if compare else None
    if profiles is not None:
        console.print(profile_table(profiles), change_table(profiles))
    if save is not None:
        write_json(save, passed.predictions, predictor.classes)
    if json_file is not None:
        write_score(json_file, score, profiles)
    for line in passed.unreadable:
        print(f"detect: {line}", file=sys.stderr)
    sys.exit(1 if passed.unreadable else 0)
