"""The command ``detect data``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.data_convert import convert
from detect.cli.data_rank import rank
from detect.cli.data_review import LabelReviewer
from detect.cli.data_show import show
from detect.cli.data_stats import stats
from detect.cli.group import Group
from detect.errors import UserError
from detect.system.files import require_writable_file, require_writable_folder, write_text

if TYPE_CHECKING:
    from detect.data.formats.detect_format import BoxFormat
    from detect.data.formats.labeled_folder import LabeledFolder
    from detect.data.inspect.image_scan import ImageInfo

_workers = click.option(
    "--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that decode images."
)


@click.group("data", cls=Group, epilog="Example: detect data inspect my-photos")
def data_command() -> None:
    """Inspect, summarize, show and convert labelled data; rank photos to label."""


data_command.add_command(convert)
data_command.add_command(show)
data_command.add_command(rank)
data_command.add_command(stats)


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
    then judges. A line says from which weights they begin; those of a detector that was trained on these images are
    refused. The same command goes on with trainings that were interrupted.
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
