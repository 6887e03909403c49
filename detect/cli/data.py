"""detect data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.group import Group
from detect.files import place_for_file, write_text

if TYPE_CHECKING:
    from detect.config import Config
    from detect.inspection.looking import Look
    from detect.inspection.records import Format, Survey
    from detect.inspection.statistics import AnchorPlan

_format = click.option(
    "--format", "format_", type=click.Choice(["voc", "coco"]), help="Of ROOT [default: what it looks like]."
)
_images = click.option("--images", type=Path, metavar="DIR", help="COCO: the photos [default: beside the annotations].")
_workers = click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that decode.")


@click.group("data", cls=Group, epilog="Example: detect data inspect my-photos")
def command() -> None:
    """Labelled photos: what is wrong with them, what they hold."""


@command.command(
    "inspect",
    short_help="What is wrong with photos and boxes.",
    epilog="Example: detect data inspect my-photos --json findings.json",
)
@click.argument("root", type=Path)
@_format
@_images
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write every finding.")
@click.option("--examples", type=click.IntRange(0), default=3, show_default=True, help="How many to show of a kind.")
@click.option("--strict", is_flag=True, help="Warnings count too.")
@_workers
def inspect(
    root: Path,
    format_: Format | None,
    images: Path | None,
    json_file: Path | None,
    examples: int,
    strict: bool,
    workers: int,
) -> None:
    """Look for what is wrong with the photos and boxes in ROOT, worst first, each with its file, place and cure.

    Errors stop a training, drop a box or teach what is wrong: broken photos, boxes outside, mixed-up numbers, photos in
    two splits. Warnings want a look: near-duplicates, tiny boxes, names alike. Exit status: 0 clean or warnings alone,
    1 errors (with --strict: anything found), 2 wrong usage.
    """
    if json_file is not None:
        place_for_file(json_file)
    from detect.inspection.inspector import inspect as find
    from detect.inspection.surveys import read_survey
    from detect.inspection.telling import as_json, told, verdict

    survey = read_survey(root, format_, images)
    findings = find(survey, _look(survey, workers))
    objects = sum(len(photo.objects) for photo in survey.photos)
    for line in told(findings, examples):
        print(line)
    print(verdict(findings, len(survey.photos), objects))
    if json_file is not None:
        content = as_json(findings, len(survey.photos), objects)
        write_text(json_file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    sys.exit(1 if any(finding.is_error or strict for finding in findings) else 0)


@command.command(
    "stats",
    short_help="Counts, sizes, and the anchors that suit them.",
    epilog="Example: detect data stats my-photos --min-size 400 --min-size 800",
)
@click.argument("root", type=Path)
@_format
@_images
@click.option("--config", type=Path, metavar="FILE", help="Whose sizes and anchors to measure [default: the default].")
@options.settings
@click.option("--min-size", "min_sizes", type=click.IntRange(1), multiple=True, help="Another resolution to try.")
@click.option("--stride", type=click.IntRange(1), default=16, show_default=True, help="Pixels between anchors.")
@click.option("--advise", type=click.IntRange(1, 9), default=3, show_default=True, help="How many sides and ratios.")
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the statistics.")
def stats(
    root: Path,
    format_: Format | None,
    images: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    min_sizes: tuple[int, ...],
    stride: int,
    advise: int,
    json_file: Path | None,
) -> None:
    """Count photos, objects and classes in ROOT, and tell which share of the objects anchors reach.

    An object is reached at IoU 0.5 or 0.7 where some anchor overlaps it that much once its photo is resized. The last
    line is the advised anchors, as options of `detect train`.
    """
    if json_file is not None:
        place_for_file(json_file)
    from detect.build.model import preprocess_rule
    from detect.inspection.statistics import statistics
    from detect.inspection.statistics_table import headline, tables
    from detect.inspection.surveys import read_survey
    from detect.inspection.usable import usable

    settings = _settings(config, overrides)
    annotations = usable(read_survey(root, format_, images))
    found = statistics(annotations, preprocess_rule(settings), min_sizes, _plan(settings, stride), advise)
    console = Console()
    print(headline(found.tally))
    for table in tables(found):
        console.print(table)
    if found.settings:
        print(f"advised: {found.settings}")
    if json_file is not None:
        write_text(json_file, json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n")


def _settings(config: Path | None, overrides: tuple[str, ...]) -> Config:
    from detect.config import Config
    from detect.config_files import changed, load_config

    return changed(Config(), overrides) if config is None else load_config(config, overrides)


def _plan(settings: Config, stride: int) -> AnchorPlan:
    """A pyramid's maps have strides of 4, 8, ...: Lin et al. 2017, section 3."""
    from detect.build.slots import anchor_shapes
    from detect.inspection.statistics import AnchorPlan

    maps = len(settings.model.rpn.sides) if settings.model.backbone.output == "pyramid" else 1
    spacings = (stride,) if maps == 1 else tuple(4 * 2**level for level in range(maps))
    return AnchorPlan(anchor_shapes(settings.model, maps), spacings, settings.model.rpn.outside)


def _look(survey: Survey, workers: int) -> dict[Path, Look]:
    from detect.display import display
    from detect.inspection.looking import look_at_all

    looks = {}
    paths = list(dict.fromkeys(photo.image for photo in survey.photos))
    with display(Console(stderr=True), "looking", len(paths), "photos") as shown:
        for path, seen in look_at_all(paths, workers):
            looks[path] = seen
            shown.advance(1)
    return looks
