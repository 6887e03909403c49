"""The command ``detect results``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from detect.cli.group import Group
from detect.errors import UserError
from detect.system.files import require_writable_file, require_writable_folder
from detect.system.numbers import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.evaluation.predictions import Prediction
    from detect.inference.result_formats import ResultFormat


@click.group("results", cls=Group, epilog="Example: detect results convert predictions.json dt.json --to coco")
def results_command() -> None:
    """Convert files of detections."""


@results_command.command(
    "convert",
    short_help="Write the same detections in another format.",
    epilog="Example: detect results convert predictions/yolo dt.json --to coco --images photos/",
)
@click.argument("source", metavar="SRC", type=Path)
@click.argument("target", metavar="DST", type=Path)
@click.option(
    "--to",
    "target_format",
    type=click.Choice(["json", "csv", "coco", "voc", "yolo", "yolo-labels", "label-studio", "cvat"]),
    required=True,
    help="Format of DST: a file for json, csv, coco and cvat, a folder for the others.",
)
@click.option(
    "--images",
    "paths",
    metavar="PATH",
    multiple=True,
    help="Images that SRC is of: a file, folder or glob; can be repeated. voc and yolo need it, csv and coco where the "
    "images are elsewhere now.",
)
@click.option(
    "--annotations",
    type=Path,
    metavar="GT.json",
    help="COCO file with the ids of DST, and of SRC where no list of `detect` lies beside it [default: that list, and "
    "ids from 1].",
)
@click.option("--classes", metavar="A,B", help="Order of the classes [default: that of SRC, or the alphabet].")
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    default=0.0,
    help="Minimum score; a lower one stays where it continues a track [default: all].",
)
def convert(
    source: Path,
    target: Path,
    target_format: ResultFormat,
    paths: tuple[str, ...],
    annotations: Path | None,
    classes: str | None,
    score: float,
) -> None:
    """Write the detections SRC, in any format of `detect predict` or of `detect eval --save`, or the folder of parts of
    `detect predict --from`, to DST in another format.

    The format of SRC is detected. Scores stay as they are to the last bit, except that yolo-labels has none; masks are
    kept from and to json and coco, and so are frames and tracks of videos.
    """
    from detect.inference.result_formats import FOLDER_FORMATS, select_score, write_format

    if target_format in FOLDER_FORMATS:
        require_writable_folder(target)
    else:
        require_writable_file(target)
    if target.exists() and target.resolve() == source.resolve():
        raise UserError(f"{target}: expected another file than SRC, found the same")
    from detect.inference.coco_ids import coco_ids
    from detect.inference.find_images import find_images
    from detect.inference.listed_images import listed_images
    from detect.inference.result_files import read_results

    if target_format == "coco" and source.is_file():
        _require_own_list(source, target)
    images = listed_images(find_images(paths)) if paths else None
    order = None if classes is None else [name.strip() for name in classes.split(",")]
    results = read_results(source, images, annotations, order)
    chosen = [select_score(prediction, score) for prediction in results.predictions]
    ids = None
    if target_format == "coco" and annotations is not None:
        ids = coco_ids(annotations, [prediction.file for prediction in chosen], results.classes)
    write_format(target, target_format, chosen, results.classes, ids)
    count, num_read = sum(map(len, chosen)), sum(map(len, results.predictions))
    below = f" ({num_read - count} below {score:g} left out)" if count < num_read else ""
    print(
        f"{target}: {format_count(count, 'detection')}{below} in {format_count(len(chosen), 'image')}, "
        f"{format_count(len(results.classes), 'class', 'classes')}"
    )
    for line in (*results.gaps, *results.notes):
        print(line)
    if results.unreadable:
        print(f"{len(results.unreadable)} photos that could not be read are left out, {results.unreadable[0]} first")
    for line in _describe_written(target, target_format, chosen):
        print(line)


def _describe_written(target: Path, target_format: ResultFormat, predictions: Sequence[Prediction]) -> list[str]:
    """Return the lines about what was kept in DST and left out of it, and how to use it."""
    from detect.inference.earlier_results import describe_earlier_photos
    from detect.inference.labeling_results import local_files
    from detect.inference.result_formats import describe_left_out, describe_lost_fields

    lines = describe_earlier_photos(target, target_format, predictions)
    lines += describe_left_out(target_format, predictions)
    lines += describe_lost_fields([target_format], predictions)
    if target_format == "label-studio" and predictions:
        lines.append(local_files([prediction.file for prediction in predictions]))
    return lines


def _require_own_list(source: Path, target: Path) -> None:
    """Raise UserError if the list of images beside DST would be that of SRC, which would lose or change its ids."""
    from detect.inference.coco_ids import images_file
    from detect.inference.result_files import results_format

    listed = images_file(target)
    if listed.resolve() == images_file(source).resolve() and listed.is_file() and results_format(source) == "coco":
        raise UserError(
            f"{target}: expected a name whose list of images is its own, found {listed}, which {source} has; "
            "give DST another name"
        )
