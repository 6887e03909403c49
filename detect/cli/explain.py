"""detect explain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.files import place_for_folder
from detect.memory import keep_freed_memory

if TYPE_CHECKING:
    from detect.explain.make import Known
    from detect.predict.predictor import Predictor


@click.command("explain", epilog="Example: detect explain runs/faster_rcnn-1 photo.jpg --out explained")
@click.argument("model", type=Path)
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option("--method", type=click.Choice(["trace"]), default="trace", show_default=True, help="What to tell.")
@click.option("--out", type=Path, required=True, metavar="DIR", help="Where to write: a folder for each photo.")
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    default=0.5,
    show_default=True,
    help="Pictures of detections that score so much; trace.json holds all.",
)
@click.option(
    "--most", type=click.IntRange(0), metavar="N", default=20, show_default=True, help="Pictures of at most so many."
)
@click.option("--proposals", type=Path, metavar="FILE", help="R-CNN, Fast R-CNN: boxes from this file, not searched.")
@click.option("--annotations", type=Path, metavar="GT.json", help="COCO ground truth of the photos.")
@click.option("--split", type=click.Choice(["train", "val"]), help="Ground truth of this split of the model's data.")
@options.settings
@options.device
@options.precision
def command(
    model: Path,
    images: tuple[str, ...],
    method: str,  # noqa: ARG001 - the only one yet
    out: Path,
    score: float,
    most: int,
    proposals: Path | None,
    annotations: Path | None,
    split: str | None,
    overrides: tuple[str, ...],
    device: Device | None,
    precision: Precision | None,
) -> None:
    """The exact trace of every detection of MODEL on photos: the anchor that fired, the proposal it became, its region,
    scores and deltas, its ranks, what it suppressed; of a searched box, its segments and how they were joined.

    Each photo gets a folder with trace.json (every number, enough to compute the detections again), pictures, and
    index.html, a page that needs nothing else.
    """
    keep_freed_memory()
    if not images:
        raise UserError("IMAGE: expected photos, folders or globs, found none")
    if annotations is not None and split is not None:
        raise UserError("--annotations and --split: expected one of them, found both")
    from detect.predict.photos import find_photos

    photos = find_photos(images)
    place_for_folder(out)
    from detect.display import display
    from detect.explain.make import Wish, trace_photos
    from detect.predict.predictor import load
    from detect.predict.run import given_from

    predictor = load(model, device or "auto", precision or "fp32", overrides)
    given = given_from(predictor, photos, proposals)
    known = _known(predictor, photos, annotations, split)
    with display(Console(), "tracing", len(photos), "photos") as shown:
        unreadable = trace_photos(predictor, photos, out, Wish(score, most), known, given, shown)
    print(f"{len(photos) - len(unreadable)} photos traced in {out}")
    for line in unreadable:
        print(f"detect: {line}", file=sys.stderr)
    sys.exit(1 if unreadable else 0)


def _known(predictor: Predictor, photos: list[Path], annotations: Path | None, split: str | None) -> Known:
    """The ground truth asked for, of photos by their path; of a COCO file by their name."""
    from detect.build.data import default_metric, split_data
    from detect.data.coco import read_coco
    from detect.explain.make import Known

    metric = default_metric(predictor.config)
    if split is not None:
        found = split_data(predictor.config, split, predictor.classes)
    elif annotations is not None:
        found = read_coco(annotations, sorted({photo.absolute().parent for photo in photos}), predictor.classes)
    else:
        return Known({}, metric)
    return Known({Path(found.file(place)).resolve(): found[place] for place in range(len(found))}, metric)
