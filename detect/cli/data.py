"""The command ``detect data``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.data_convert import convert
from detect.cli.data_rank import rank
from detect.cli.data_review import LabelReviewer
from detect.cli.data_show import show
from detect.cli.group import Group
from detect.errors import UserError
from detect.system.files import require_writable_file, require_writable_folder, write_text

if TYPE_CHECKING:
    from detect.config import Config
    from detect.data.formats.detect_format import BoxFormat
    from detect.data.formats.labeled_folder import LabeledFolder
    from detect.data.inspect.image_scan import ImageInfo
    from detect.data.inspect.statistics import AnchorConfig

_workers = click.option(
    "--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that decode images."
)


@click.group("data", cls=Group, epilog="Example: detect data inspect my-photos")
def data_command() -> None:
    """Inspect, summarize, show and convert labelled data; rank photos to label."""


data_command.add_command(convert)
data_command.add_command(show)
data_command.add_command(rank)


@data_command.command(
    "inspect",
    short_help="Find errors in images and boxes.",
    epilog="Example: detect data inspect my-photos --json findings.json",
)
@click.argument("root", type=Path)
@options.data_format
@options.data_images
@options.data_encoding
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write every finding to this file.")
@click.option(
    "--examples", type=click.IntRange(0), default=3, show_default=True, help="Number of examples to print of each kind."
)
@click.option("--strict", is_flag=True, help="Exit with status 2 for any finding.")
@click.option("--model", metavar="MODEL", help="Also rank the labels that this detector disagrees with.")
@click.option("--gallery", type=Path, metavar="FILE.html", help="With --model: write a page of these labels.")
@click.option(
    "--folds",
    type=click.IntRange(2),
    metavar="K",
    help="With --model: train K detectors like it to judge the labels.",
)
@click.option("--folds-out", type=Path, metavar="DIR", help="Folder of their runs [default: <name of ROOT>-folds].")
@_workers
def inspect(
    root: Path,
    format_: BoxFormat | None,
    images: Path | None,
    encoding: str | None,
    json_file: Path | None,
    examples: int,
    strict: bool,
    model: str | None,
    gallery: Path | None,
    folds: int | None,
    folds_out: Path | None,
    workers: int,
) -> None:
    """Find errors in the images and boxes in ROOT, worst first, each with its file, location and fix.

    Errors stop a training, drop a box or train the model on wrong labels: broken images, boxes outside the image,
    swapped corners, images in two splits. Warnings ask for a check: near-duplicates, tiny boxes, similar class names.
    With --model a detector, best one that was not trained on these images, runs on all of them; objects that it finds
    and nobody labelled, and labels that it contradicts, are ranked. They change neither the findings nor the status.
    With --folds K too, K detectors are trained by the settings of MODEL, each without a Kth of the images, which it
    then judges. The same command goes on with trainings that were interrupted.
    Exit status: 0 for no error, 1 for errors, 2 for wrong usage (with --strict: for any finding).
    """
    if gallery is not None and (model is None or gallery.suffix not in (".html", ".htm")):
        raise UserError(f"--gallery {gallery}: expected a name that ends in .html, together with --model")
    if (folds is not None and model is None) or (folds_out is not None and folds is None):
        raise UserError("--folds: expected --model MODEL together with it, and --folds-out only with --folds")
    if folds_out is not None:
        require_writable_folder(folds_out)
    for file in (json_file, gallery):
        if file is not None:
            require_writable_file(file)
    review = None if model is None else LabelReviewer(model, folds, folds_out)
    from detect.data.inspect.format_findings import count_by_kind, findings_summary, findings_to_dict, format_findings
    from detect.data.inspect.inspector import inspect_dataset, scan_folder
    from detect.system.progress import show_progress

    folder = scan_folder(root, format_, images, encoding)
    image_infos = _scan_images(folder, workers)
    with show_progress(Console(stderr=True), "comparing images", len(image_infos), "images") as progress:
        findings = inspect_dataset(folder, image_infos, progress.advance)
    num_images, num_objects = len(folder.distinct_images), folder.num_objects
    for line in format_findings(findings, examples):
        print(line)
    print(findings_summary(findings, num_images, num_objects))
    suspects = None if review is None else review.print_suspects(folder, gallery)
    if json_file is not None:
        content = findings_to_dict(findings, num_images, num_objects)
        content |= {} if suspects is None else {"suspects": suspects}
        write_text(json_file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    faults = [finding for finding in findings if finding.is_fault]
    if strict and faults:
        raise UserError(f"--strict: {root}: expected no finding, found {count_by_kind(faults)}")
    sys.exit(1 if any(finding.is_error for finding in findings) else 0)


@data_command.command(
    "stats",
    short_help="Count images and objects; suggest anchors.",
    epilog="Example: detect data stats my-photos --min-size 400 --min-size 800",
)
@click.argument("root", type=Path)
@options.data_format
@options.data_images
@options.data_encoding
@click.option(
    "--config",
    "config_file",
    type=Path,
    metavar="FILE",
    help="Configuration with the sizes and anchors to measure [default: the built-in defaults].",
)
@options.settings
@click.option(
    "--min-size",
    "min_sizes",
    type=click.IntRange(1),
    multiple=True,
    help="Additional value of data.min_size to measure; can be repeated.",
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Distance between neighboring anchors in pixels; ignored for a feature pyramid.",
)
@click.option(
    "--suggest-anchors",
    "num_sizes_and_ratios",
    type=click.IntRange(1, 9),
    default=3,
    show_default=True,
    help="Number of sizes and of aspect ratios to suggest.",
)
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the statistics to this file.")
def stats(
    root: Path,
    format_: BoxFormat | None,
    images: Path | None,
    encoding: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    min_sizes: tuple[int, ...],
    stride: int,
    num_sizes_and_ratios: int,
    json_file: Path | None,
) -> None:
    """Count images, objects and classes in ROOT, and measure the anchor recall.

    An object counts as recalled at an IoU of 0.5 or 0.7 when some anchor overlaps it that much after its image is
    resized. The last line suggests anchors, as options of `detect train`. Images are measured whole, also where
    data.slice.size cuts them for a training.
    """
    if json_file is not None:
        require_writable_file(json_file)
    from detect.config.builders.detector import build_preprocess
    from detect.config.builders.splits import describe_folder_splits
    from detect.data.formats.report import summarize
    from detect.data.inspect.inspector import scan_folder
    from detect.data.inspect.statistics import compute_statistics
    from detect.data.inspect.statistics_tables import format_counts, statistics_tables
    from detect.data.inspect.valid_annotations import count_skipped, unreadable_findings, valid_annotations
    from detect.data.usage import data_usage

    settings = options.load_settings(config_file, overrides)
    folder = scan_folder(root, format_, images, encoding)
    annotations = valid_annotations(folder)
    dataset_statistics = compute_statistics(
        annotations, build_preprocess(settings), min_sizes, _anchor_config(settings, stride), num_sizes_and_ratios
    )
    console = Console()
    print(format_counts(dataset_statistics.counts))
    print(replace(data_usage([annotations]), skipped=count_skipped(folder, annotations)))
    print(describe_folder_splits(folder, encoding))
    for line in summarize([*folder.findings, *unreadable_findings(folder)]):
        print(f"noted: {line}")
    if settings.data.slice.size is not None:
        print("noted: data.slice.size is not measured: sizes, recall and suggested anchors are those of whole images")
    for table in statistics_tables(dataset_statistics):
        console.print(table)
    if dataset_statistics.suggested_settings:
        print(f"suggested: {dataset_statistics.suggested_settings}")
    if json_file is not None:
        write_text(json_file, json.dumps(dataset_statistics.to_dict(), indent=1, ensure_ascii=False) + "\n")


def _anchor_config(settings: Config, stride: int) -> AnchorConfig:
    """Return the anchors to measure. The maps of a pyramid have strides of 4, 8, ... (Lin et al. 2017, section 3)."""
    from detect.config.builders.slots import build_anchor_generator
    from detect.data.inspect.statistics import AnchorConfig

    num_levels = len(settings.model.rpn.anchor_sizes) if settings.model.backbone.output == "fpn" else 1
    strides = (stride,) if num_levels == 1 else tuple(4 * 2**level for level in range(num_levels))
    return AnchorConfig(build_anchor_generator(settings.model, num_levels), strides, settings.model.rpn.allowed_border)


def _scan_images(folder: LabeledFolder, workers: int) -> dict[Path, ImageInfo]:
    from detect.data.inspect.image_scan import scan_images
    from detect.system.progress import show_progress

    image_infos = {}
    paths = list(dict.fromkeys(image.file for image in folder.images))
    with show_progress(Console(stderr=True), "scanning images", len(paths), "images") as progress:
        for path, image_info in scan_images(paths, workers):
            image_infos[path] = image_info
            progress.advance(1)
    return image_infos
