"""The command ``detect data rank``."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.options import Device, Precision
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_file, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.inference.rank_images import RankedImage

_PRINTED = 10  # photos


@click.command(
    "rank",
    short_help="Order photos without labels: those first that the model is least sure of.",
    epilog="Example: detect data rank runs/mine new-photos --out ranked.csv --top 200",
)
@click.argument("model", type=Path)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--out", type=Path, metavar="FILE.csv", required=True, help="File to write: file,gain,detections,near_duplicate_of."
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Write only the first N photos [default: all].")
@options.settings
@options.device
@options.precision
def rank(
    model: Path,
    paths: tuple[str, ...],
    out: Path,
    top: int | None,
    overrides: tuple[str, ...],
    device: Device | None,
    precision: Precision | None,
) -> None:
    """Order the photos of PATH (files, folders, globs) by how unsure MODEL is of them.

    The gain is the sum of 4 s (1 - s) over the scores s of the detections: a score of 0.5 is the most doubtful. Of
    photos that show nearly the same, one stays in its place and the others go to the end. A photo in which MODEL
    detects nothing has a gain of 0, also where it misses an object: look at some of them.
    """
    tune_malloc()
    require_writable_file(out)
    from detect.inference.find_images import search_images
    from detect.inference.load import load
    from detect.inference.rank_images import rank_images
    from detect.system.progress import show_progress

    search = search_images(paths)
    predictor = load(model, device or "auto", precision or "fp32", overrides)
    for note in search.notes():
        print(note, flush=True)
    with show_progress(Console(), "reading and detecting", 2 * len(search.images), "passes") as progress:
        ranking = rank_images(predictor, search.images, progress)
    chosen = ranking.images if top is None else ranking.images[:top]
    write_text(out, _to_csv(chosen))
    for image in chosen[:_PRINTED]:
        print(f"{image.gain:.2f}  {image.detections} detections  {image.file}")
    num_duplicates = sum(bool(image.near_duplicate_of) for image in ranking.images)
    num_empty = sum(image.detections == 0 for image in ranking.images)
    print(
        f"{out}: {len(chosen)} of {len(ranking.images)} photos; {num_duplicates} show nearly the same as another, "
        f"{num_empty} have no detection"
    )
    exit_if_unreadable(ranking.unreadable, len(search.images))


def _to_csv(images: Sequence[RankedImage]) -> str:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(("file", "gain", "detections", "near_duplicate_of"))
    rows.writerows((image.file, image.gain, image.detections, image.near_duplicate_of) for image in images)
    return stream.getvalue()
