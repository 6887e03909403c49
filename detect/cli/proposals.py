"""The commands ``detect proposals`` and ``detect proposals make``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.group import Group
from detect.cli.options import Split
from detect.cli.proposals_recall import SPLITS, load_rpn_proposals, print_lines, recall_command
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import format_bytes


@click.group("proposals", cls=Group, epilog="Example: detect proposals make photos/ --out photos.npz")
def proposals_command() -> None:
    """Generate region proposals (boxes that may contain an object) for many images, and score them."""


@proposals_command.command(
    "make", epilog="Example: detect proposals make --set data.format=shapes --out shapes.npz --mode fast"
)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@options.settings
@click.option("--out", type=Path, required=True, metavar="FILE.npz", help="Proposal file to write.")
@click.option(
    "--mode",
    type=click.Choice(["single", "fast", "quality"]),
    default="fast",
    show_default=True,
    help="Search mode: about 350, 2,000 or 10,000 boxes for an image of 500 x 375.",
)
@click.option("--split", type=SPLITS, help="Only this split of the data set [default: both].")
@click.option("--workers", type=click.IntRange(1), help="Images searched in parallel [default: the number of cores].")
@click.option(
    "--resize-to",
    type=click.IntRange(1),
    metavar="WIDTH",
    help="Resize images to this width before the search, such as 500; faster for large ones [default: none].",
)
@click.option(
    "--min-side-width",
    type=click.IntRange(0),
    metavar="WIDTH",
    default=500,
    show_default=True,
    help="Width of the image in which the shortest side of a box, 20 pixels, is measured; 0: as it is searched.",
)
@click.option("--colors", metavar="NAMES", help="Color spaces, such as HSV,Lab [default: those of the mode].")
@click.option(
    "--similarities",
    metavar="NAMES",
    help="Measures of each grouping, letters of CTSF, such as CTSF,S [default: those of the mode].",
)
@click.option("--k", "scales", metavar="NUMBERS", help="Scales k, such as 50,100 [default: those of the mode].")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the ranking: selective search ranks the boxes with random weights.",
)
@click.option(
    "--model",
    type=Path,
    help="Write the RPN proposals of this run folder or checkpoint for its own data instead of searching.",
)
def make(
    paths: tuple[str, ...],
    overrides: tuple[str, ...],
    out: Path,
    mode: str,
    split: Split | None,
    workers: int | None,
    resize_to: int | None,
    min_side_width: int,
    colors: str | None,
    similarities: str | None,
    scales: str | None,
    seed: int,
    model: Path | None,
) -> None:
    """Run selective search over a data set (--set data.root=..., --set data.format=...) or on images, folders, globs.

    An interrupted run resumes when the same command is given again. An existing file is extended: images whose bytes
    have not changed are not searched again.
    """
    splits: list[Split] = ["train", "val"] if split is None else [split]
    if model is not None:
        if paths:
            raise UserError("--model: expected a data set (its own, or by --set), found PATH...")
        _write_rpn_proposals(str(model), overrides, splits, out)
        return
    if bool(paths) == bool(overrides):
        expected = "expected either PATH... or a data set by --set data.root=FOLDER"
        raise UserError(f"{expected}, found {'both' if paths else 'neither'}")
    if paths and split is not None:
        raise UserError("--split: expected a data set by --set together with it, found PATH...")
    tune_malloc()
    from detect.config.builders.data import read_image_files
    from detect.inference.find_images import search_images
    from detect.proposals.files import require_writable_npz
    from detect.proposals.search_dataset import make_proposals
    from detect.proposals.selective_search.settings import SearchSettings
    from detect.system.cpu import available_cores
    from detect.system.progress import show_progress

    require_writable_npz(out)
    settings = SearchSettings(
        mode=mode,
        seed=seed,
        resize_to=resize_to,
        min_side_width=min_side_width or None,
        colors=None if colors is None else tuple(colors.split(",")),
        similarities=None if similarities is None else tuple(similarities.split(",")),
        k=None if scales is None else _whole_numbers(scales),
    )
    if paths:
        search = search_images(paths)
        images = list(search.images)
        print_lines(search.notes())
    else:
        images, notes = read_image_files(options.load_data_settings(None, overrides), splits)
        print_lines(notes)
    with show_progress(Console(), "searching", len(images), "images") as progress:
        summary = make_proposals(images, out, settings, workers or available_cores(), progress)
    reused = f", {summary.num_reused} images searched before" if summary.num_reused else ""
    print(
        f"{summary.num_boxes} boxes in {summary.num_images} images, "
        f"{summary.num_boxes / max(1, summary.num_images):.1f} per image, "
        f"{summary.seconds:.1f} s{reused}: {out}, {format_bytes(out.stat().st_size)}"
    )
    exit_if_unreadable(summary.unreadable, len(images))


def _whole_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a text such as ``50,100``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--k: expected whole numbers such as 50,100, found {text}") from None


def _write_rpn_proposals(model: str, overrides: tuple[str, ...], splits: Sequence[Split], out: Path) -> None:
    tune_malloc()
    from detect.inference.rpn_proposals import write_rpn_proposals
    from detect.proposals.files import require_writable_npz
    from detect.system.progress import show_progress

    require_writable_npz(out)
    if out.exists():
        raise UserError(f"{out}: expected a new file, found one that exists")
    loaded = [load_rpn_proposals(model, overrides, split, None, None) for split in splits]
    print_lines(dict.fromkeys(note for _, notes in loaded for note in notes))
    split_proposals = [proposals for proposals, _ in loaded]
    count = sum(len(split) for split in split_proposals)
    with show_progress(Console(), "proposing", count, "images") as progress:
        proposal_file = write_rpn_proposals(split_proposals, out, progress)
    print(
        f"{len(proposal_file.boxes)} boxes in {len(proposal_file)} images, "
        f"{len(proposal_file.boxes) / max(1, len(proposal_file)):.1f} per image: "
        f"{out}, {format_bytes(out.stat().st_size)}"
    )
    exit_if_unreadable([line for split in split_proposals for line in split.unreadable], count)


proposals_command.add_command(recall_command)
