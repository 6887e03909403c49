"""detect data."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.data_convert import convert
from detect.cli.group import Group
from detect.errors import UserError, WorkError, nearest
from detect.system.files import place_for_file, place_for_folder, write_text

if TYPE_CHECKING:
    from detect.config import Config
    from detect.data.formats.detect_format import BoxFormat
    from detect.data.inspect.image_scan import Look
    from detect.data.inspect.scan_records import Survey
    from detect.data.inspect.statistics import AnchorPlan

_format = click.option(
    "--format",
    "format_",
    type=click.Choice(["voc", "coco", "yolo", "csv"]),
    help="Of ROOT [default: what it looks like].",
)
_images = click.option("--images", type=Path, metavar="DIR", help="COCO, CSV: the images [default: beside the labels].")
_workers = click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that decode.")


@click.group("data", cls=Group, epilog="Example: detect data inspect my-photos")
def command() -> None:
    """Labelled images: what is wrong with them, what they hold, how they look."""


command.add_command(convert)


@command.command(
    "inspect",
    short_help="What is wrong with images and boxes.",
    epilog="Example: detect data inspect my-photos --json findings.json",
)
@click.argument("root", type=Path)
@_format
@_images
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write every finding.")
@click.option("--examples", type=click.IntRange(0), default=3, show_default=True, help="How many to show of a kind.")
@click.option("--strict", is_flag=True, help="Exit status 2 for anything found.")
@_workers
def inspect(
    root: Path,
    format_: BoxFormat | None,
    images: Path | None,
    json_file: Path | None,
    examples: int,
    strict: bool,
    workers: int,
) -> None:
    """Look for what is wrong with the images and boxes in ROOT, worst first, each with its file, place and cure.

    Errors stop a training, drop a box or teach what is wrong: broken images, boxes outside, mixed-up numbers, images in
    two splits. Warnings want a look: near-duplicates, tiny boxes, names alike. Exit status: 0 clean or warnings alone,
    1 errors, 2 wrong usage (with --strict: anything found).
    """
    if json_file is not None:
        place_for_file(json_file)
    from detect.data.inspect.findings import as_json, by_kind, told, verdict
    from detect.data.inspect.inspector import inspect as find
    from detect.data.inspect.inspector import read_survey
    from detect.system.progress import display

    survey = read_survey(root, format_, images)
    looks = _look(survey, workers)
    with display(Console(stderr=True), "comparing", len(looks), "images") as shown:
        findings = find(survey, looks, shown.advance)
    image_files, objects = len(survey.distinct_images), survey.objects
    for line in told(findings, examples):
        print(line)
    print(verdict(findings, image_files, objects))
    if json_file is not None:
        content = as_json(findings, image_files, objects)
        write_text(json_file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    if strict and findings:
        raise UserError(f"--strict: {root}: expected no finding, found {by_kind(findings)}")
    sys.exit(1 if any(finding.is_error for finding in findings) else 0)


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
    format_: BoxFormat | None,
    images: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    min_sizes: tuple[int, ...],
    stride: int,
    advise: int,
    json_file: Path | None,
) -> None:
    """Count images, objects and classes in ROOT, and tell which share of the objects anchors reach.

    An object is reached at IoU 0.5 or 0.7 where some anchor overlaps it that much once its image is resized. The last
    line is the advised anchors, as options of `detect train`.
    """
    if json_file is not None:
        place_for_file(json_file)
    from detect.config.builders.detector import preprocess_rule
    from detect.data.inspect.inspector import read_survey
    from detect.data.inspect.statistics import statistics
    from detect.data.inspect.statistics_tables import headline, tables
    from detect.data.inspect.valid_annotations import skipped_images, usable
    from detect.data.usage import account

    settings = _settings(config, overrides)
    survey = read_survey(root, format_, images)
    annotations = usable(survey)
    found = statistics(annotations, preprocess_rule(settings), min_sizes, _plan(settings, stride), advise)
    console = Console()
    print(headline(found.tally))
    print(account([annotations], skipped_images(survey, annotations)))
    for table in tables(found):
        console.print(table)
    if found.settings:
        print(f"advised: {found.settings}")
    if json_file is not None:
        write_text(json_file, json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n")


@command.command(
    "show",
    short_help="Images with their boxes, to leaf through.",
    epilog="Example: detect data show my-photos --out look",
)
@click.argument("root", type=Path)
@_format
@_images
@click.option("--out", type=Path, metavar="DIR", help="A new or empty folder [default: ROOT's name and -show, here].")
@click.option("--number", type=click.IntRange(1), default=48, show_default=True, help="How many images.")
@click.option("--class", "wanted", multiple=True, metavar="NAME", help="Only images that show it; can be repeated.")
@click.option("--draws", type=click.IntRange(0), default=2, show_default=True, help="How often to augment each image.")
@click.option("--config", type=Path, metavar="FILE", help="Whose augmentation to show [default: the default].")
@options.settings
def show(
    root: Path,
    format_: BoxFormat | None,
    images: Path | None,
    out: Path | None,
    number: int,
    wanted: tuple[str, ...],
    draws: int,
    config: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Write contact sheets of ROOT, and index.html, one page to leaf through: before and after augmentation.

    The page needs no network. Arrow keys leaf, b hides the boxes, a list filters by class. Images that cannot be read
    are named and left out; then the exit status is 1.
    """
    folder = out or Path(f"{root.absolute().name}-show")
    if place_for_folder(folder).is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: expected a new or empty folder, found one with files in it")
    from detect.config.builders.data import augment_rule
    from detect.config.builders.detector import preprocess_rule
    from detect.data.images import UnreadableImage
    from detect.data.inspect.gallery import Gallery, choose
    from detect.data.inspect.gallery_page import write_page, write_sheets
    from detect.data.inspect.inspector import read_survey
    from detect.data.inspect.valid_annotations import usable

    settings = _settings(config, overrides)
    annotations = usable(read_survey(root, format_, images))
    gallery = Gallery(annotations, preprocess_rule(settings), augment_rule(settings), settings.seed)
    image_files, unreadable = [], []
    for index in choose(annotations, number, _labels(annotations.classes, wanted)):
        try:
            image_files.append(gallery.show(index, draws))
        except UnreadableImage as error:
            unreadable.append(str(error))
    for line in unreadable:
        print(f"detect: {line}", file=sys.stderr)
    if not image_files:
        raise WorkError(f"{root}: expected an image to show, found none that can be read")
    note = f"{len(image_files)} of {len(annotations)} images, {len(annotations.boxes)} objects in all"
    write_page(folder / "index.html", root.absolute().name, note, image_files, annotations.classes)
    sheets = write_sheets(folder, image_files, annotations.classes)
    print(f"{folder / 'index.html'}: {len(image_files)} images; contact sheets beside it: {len(sheets)}")
    sys.exit(1 if unreadable else 0)


def _labels(classes: Sequence[str], wanted: Sequence[str]) -> list[int]:
    for name in wanted:
        if name not in classes:
            raise UserError(f"--class {name}: expected one of {len(classes)} classes{nearest(name, classes)}")
    return [classes.index(name) + 1 for name in wanted]


def _settings(config: Path | None, overrides: tuple[str, ...]) -> Config:
    from detect.config import Config
    from detect.config.files import changed, load_config

    return changed(Config(), overrides) if config is None else load_config(config, overrides)


def _plan(settings: Config, stride: int) -> AnchorPlan:
    """A pyramid's maps have strides of 4, 8, ...: Lin et al. 2017, section 3."""
    from detect.config.builders.slots import anchor_shapes
    from detect.data.inspect.statistics import AnchorPlan

    maps = len(settings.model.rpn.sides) if settings.model.backbone.output == "pyramid" else 1
    spacings = (stride,) if maps == 1 else tuple(4 * 2**level for level in range(maps))
    return AnchorPlan(anchor_shapes(settings.model, maps), spacings, settings.model.rpn.outside)


def _look(survey: Survey, workers: int) -> dict[Path, Look]:
    from detect.data.inspect.image_scan import look_at_all
    from detect.system.progress import display

    looks = {}
    paths = list(dict.fromkeys(image.image for image in survey.images))
    with display(Console(stderr=True), "looking", len(paths), "images") as shown:
        for path, seen in look_at_all(paths, workers):
            looks[path] = seen
            shown.advance(1)
    return looks
