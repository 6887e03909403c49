"""detect predict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.system.cpu import keep_freed_memory
from detect.system.files import place_for_folder

if TYPE_CHECKING:
    from detect.inference.predict import Work


@click.command("predict", epilog='Example: detect predict runs/faster_rcnn-1 "data/shapes/*/val/0000*.jpg" --out found')
@click.argument("model", type=Path)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--out", type=Path, required=True, metavar="DIR", help="Where to write; files of the same names are replaced."
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["json", "csv", "coco", "voc", "yolo", "images"]),
    multiple=True,
    help="May be repeated; images draws the boxes on the images [default: json and images].",
)
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    default=0.5,
    show_default=True,
    help="Leave out detections that score less.",
)
@click.option("--batch-size", type=click.IntRange(1), metavar="N", default=8, show_default=True, help="Images a batch.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    default=2,
    show_default=True,
    help="Processes that read images while the model computes.",
)
@click.option("--classes", metavar="A,B", help="Only these classes.")
@click.option("--proposals", type=Path, metavar="FILE", help="Fast R-CNN: boxes from this file, not from a search.")
@click.option("--annotations", type=Path, metavar="GT.json", help="coco: take image and category ids from this file.")
@options.settings
@options.device
@options.precision
def command(
    model: Path,
    paths: tuple[str, ...],
    out: Path,
    formats: tuple[str, ...],
    score: float,
    batch_size: int,
    workers: int,
    classes: str | None,
    proposals: Path | None,
    annotations: Path | None,
    overrides: tuple[str, ...],
    device: Device | None,
    precision: Precision | None,
) -> None:
    """Detect with MODEL (a run folder, a checkpoint, or a name of `detect model zoo`) on images: files, folders
    (searched to the bottom), globs.

    A run that was cut off goes on where it stopped when the same command is given again.

    torchrun --nproc-per-node N -m detect predict ... shares the images among N processes: the same files.
    """
    keep_freed_memory()
    from detect.inference.find_images import find_images

    images = find_images(paths)
    place_for_folder(out)
    for image in images if "voc" in formats else ():
        if len(str(image).splitlines()) > 1:
            raise UserError(f"--format voc: expected names on one line, found {str(image)!r}")
    if annotations is not None and "coco" not in formats:
        raise UserError("--annotations: expected --format coco beside it")
    from detect.inference.predict import Wish, forget_progress, predict_images
    from detect.inference.predictor import load
    from detect.inference.result_writers import coco_ids, write_results
    from detect.system.distributed import joined
    from detect.system.progress import display

    wanted = formats or ("json", "images")
    with joined() as group:
        predictor = load(model, device or "auto", precision or "fp32", overrides)
        wish = Wish(score, options.class_labels(classes, predictor.classes), "images" in wanted)
        ids = None if annotations is None else coco_ids(annotations, images, predictor.classes)
        with display(Console(quiet=not group.leads), "detecting", len(images), "images") as shown:
            work = predict_images(predictor, images, out, wish, batch_size, workers, shown, proposals, group)
        if group.leads:
            write_results(out, wanted, work.predictions, predictor.classes, ids)
            forget_progress(out)
            _tell(work, len(images), score, out)
        group.gather(None)  # torchrun would end the leader's writing when another leaves with status 1
    sys.exit(1 if work.unreadable else 0)


def _tell(work: Work, images: int, score: float, out: Path) -> None:
    """What a run came to; images: how many were asked for."""
    count = sum(len(prediction) for prediction in work.predictions)
    print(
        f"{count} detections that score {score:g} or more in {len(work.predictions)} images, in {out}: "
        f"{work.seconds:.1f} s, the model computing {work.model_seconds / work.seconds:.0%} of it"
    )
    for line in work.unreadable:
        print(f"detect: {line}", file=sys.stderr)
    if work.unreadable:
        print(f"detect: {len(work.unreadable)} of {images} images could not be read", file=sys.stderr)
