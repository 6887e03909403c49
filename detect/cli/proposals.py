"""detect proposals."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.group import Group
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.system.cpu import keep_freed_memory
from detect.system.files import place_for_file, told_size

if TYPE_CHECKING:
    from detect.config import Config
    from detect.evaluation.proposal_recall import Coverage
    from detect.inference.rpn_proposals import FileProposals, ModelProposals
    from detect.system.progress import Display

SPLITS = click.Choice(["train", "val"])


@click.group("proposals", cls=Group, epilog="Example: detect proposals make photos/ --out images.npz")
def command() -> None:
    """Boxes that may hold an object: search them for many images, score them."""


@command.command("make", epilog="Example: detect proposals make --set data.format=shapes --out shapes.npz --mode fast")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@options.settings
@click.option("--out", type=Path, required=True, metavar="FILE.npz", help="Where to write.")
@click.option(
    "--mode",
    type=click.Choice(["single", "fast", "quality"]),
    default="fast",
    show_default=True,
    help="How thoroughly to search: some 350, 2,000 or 10,000 boxes for an image of 500 x 375.",
)
@click.option("--split", type=SPLITS, help="Only this part of the data set [default: both].")
@click.option(
    "--workers", type=click.IntRange(1), help="Images searched at a time [default: as many as there are cores]."
)
@click.option(
    "--resize-to",
    type=click.IntRange(1),
    metavar="WIDTH",
    help="Search copies of this width, 500 in the papers; keeps large images fast [default: images as they are].",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of the boxes.")
@click.option("--model", type=Path, help="Take the RPN's proposals of this run folder or checkpoint, for its own data.")
def make(
    paths: tuple[str, ...],
    overrides: tuple[str, ...],
    out: Path,
    mode: str,
    split: str | None,
    workers: int | None,
    resize_to: int | None,
    seed: int,
    model: Path | None,
) -> None:
    """Selective search over a data set (--set data.root=..., --set data.format=...), or over images, folders, globs.

    A run that was cut off goes on where it stopped when the same command is given again, and a file that is there
    already is added to: images whose bytes have not changed are not searched again.
    """
    splits = ["train", "val"] if split is None else [split]
    if model is not None:
        if paths:
            raise UserError("--model: expected a data set (its own, or by --set), found PATH...")
        _make_learned(str(model), overrides, splits, out)
        return
    if bool(paths) == bool(overrides):
        raise UserError(_which("PATH...", "a data set by --set data.root=FOLDER", bool(paths)))
    if paths and split is not None:
        raise UserError("--split: expected a data set by --set beside it, found PATH...")
    keep_freed_memory()
    from detect.config.builders.data import split_images
    from detect.inference.find_images import find_images
    from detect.proposals.files import check_writable
    from detect.proposals.search_dataset import SearchSettings, make_proposals
    from detect.proposals.selective_search import available_cores
    from detect.system.progress import display

    check_writable(out)
    images = find_images(paths) if paths else split_images(_config(overrides), splits)
    settings = SearchSettings(mode, seed, resize_to=resize_to)
    with display(Console(), "searching", len(images), "images") as shown:
        made = make_proposals(images, out, settings, workers or available_cores(), shown)
    before = f", {made.before} images searched before" if made.before else ""
    print(
        f"{made.boxes} boxes in {made.images} images, {made.boxes / max(1, made.images):.1f} an image, "
        f"{made.seconds:.1f} s{before}: {out}, {told_size(out.stat().st_size)}"
    )
    _tell_unreadable(made.unreadable, len(images))


def _make_learned(model: str, overrides: tuple[str, ...], splits: Sequence[str], out: Path) -> None:
    keep_freed_memory()
    from detect.inference.rpn_proposals import write_learned
    from detect.proposals.files import check_writable
    from detect.system.progress import display

    check_writable(out)
    if out.exists():
        raise UserError(f"{out}: expected a new file, found one")
    proposed = [_of_model(model, overrides, split, None, None) for split in splits]
    count = sum(len(split) for split in proposed)
    with display(Console(), "proposing", count, "images") as shown:
        made = write_learned(proposed, out, shown)
    print(
        f"{len(made.boxes)} boxes in {len(made)} images, {len(made.boxes) / max(1, len(made)):.1f} an image: "
        f"{out}, {told_size(out.stat().st_size)}"
    )
    _tell_unreadable([line for split in proposed for line in split.unreadable], count)


@command.command("recall", epilog="Example: detect proposals recall shapes.npz --set data.format=shapes")
@click.argument("file", type=Path, required=False)
@click.option("--model", type=Path, help="Score the RPN's proposals of this run folder or checkpoint.")
@options.settings
@click.option("--split", type=SPLITS, default="val", show_default=True)
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the score.")
@click.option("--picture", type=Path, metavar="FILE.png", help="Where to draw [default: beside what is scored].")
@options.device
@options.precision
def recall(
    file: Path | None,
    model: Path | None,
    overrides: tuple[str, ...],
    split: str,
    json_file: Path | None,
    picture: Path | None,
    device: Device | None,
    precision: Precision | None,
) -> None:
    """How well proposals cover the objects of a data set: those of FILE (.npz, R-CNN's .mat, .json), or a model's.

    Objects that are difficult or a crowd do not count. Without --set a model is scored on its own data.
    """
    if (file is None) == (model is None):
        raise UserError(_which("FILE", "--model MODEL", file is not None))
    if file is not None and (device or precision):
        raise UserError(f"--{'device' if device else 'precision'}: expected --model beside it, found FILE")
    if file is not None and not overrides:
        raise UserError("--set: expected the data set that FILE is of, e.g. --set data.root=FOLDER, found none")
    if picture is not None and picture.suffix != ".png":
        raise UserError(f"--picture {picture}: expected a name that ends in .png")
    for place in (json_file, picture):
        if place is not None:
            place_for_file(place)
    keep_freed_memory()
    import time

    from detect.evaluation.proposal_recall import measure, scores_of
    from detect.evaluation.proposal_report import COUNTS, draw_recall, recall_table, write_recall
    from detect.system.progress import display

    if file is not None:
        proposed: FileProposals | ModelProposals = _of_file(file, overrides, split)
        title = f"{file.name}, {split}"
    else:
        proposed = _of_model(str(model), overrides, split, device, precision)
        title = f"RPN of {model}, {split}"
    drawn = place_for_file(picture or proposed.path.with_name(f"{proposed.path.stem}-recall.png"))
    console = Console()
    start = time.perf_counter()
    with display(console, "scoring", len(proposed), "images") as shown:
        best = measure(_watched(proposed, shown), COUNTS)
    score = scores_of(best, proposed.annotations.classes)
    console.print(recall_table(score))
    print(
        f"{score.proposals_per_image:.1f} proposals an image; "
        f"{score.images_without_proposals} of {score.images} images without any"
    )
    if json_file is not None:
        write_recall(json_file, score, time.perf_counter() - start)
    draw_recall(drawn, best, title)
    print(f"{drawn}: recall drawn")
    _tell_unreadable(proposed.unreadable, len(proposed))


def _of_file(file: Path, overrides: tuple[str, ...], split: str) -> FileProposals:
    """Says how many images have no entry."""
    from detect.config.builders.data import annotated_split
    from detect.inference.rpn_proposals import proposals_of_file
    from detect.proposals.files import read_proposals

    read = read_proposals(file)
    found = proposals_of_file(file, read, annotated_split(_config(overrides), split))
    missing = found.missing
    if missing:
        print(
            f"{file}: no entry for {len(missing)} of {len(found)} images, {missing[0]} first: counted as found nothing"
        )
    return found


def _of_model(
    model: str, overrides: tuple[str, ...], split: str, device: Device | None, precision: Precision | None
) -> ModelProposals:
    from detect.config.builders.data import annotated_split
    from detect.inference.predictor import load
    from detect.inference.rpn_proposals import ModelProposals

    predictor = load(model, device or "auto", precision or "fp32", overrides)
    if predictor.given is not None:
        raise UserError(f"--model {model}: expected a model with an RPN, found one that is given its proposals")
    return ModelProposals(predictor, annotated_split(predictor.config, split), predictor.config)


def _watched(proposed: Iterable[Coverage], shown: Display) -> Iterator[Coverage]:
    for image in proposed:
        yield image
        shown.advance(1)


def _config(overrides: tuple[str, ...]) -> Config:
    """The settings' defaults and what is given of them."""
    from detect.config import Config
    from detect.config.files import changed

    return changed(Config(), overrides)


def _tell_unreadable(lines: Sequence[str], images: int) -> None:
    """Name the images and exit with status 1, if there are any."""
    for line in lines:
        print(f"detect: {line}", file=sys.stderr)
    if lines:
        print(f"detect: {len(lines)} of {images} images could not be read", file=sys.stderr)
        sys.exit(1)


def _which(first: str, second: str, given: bool) -> str:
    return f"expected either {first} or {second}, found {'both' if given else 'neither'}"
