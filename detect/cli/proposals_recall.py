"""The command ``detect proposals recall``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.options import Device, Precision, Split
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_file

if TYPE_CHECKING:
    from detect.evaluation.proposal_recall import ProposalsAndObjects
    from detect.inference.rpn_proposals import FileProposals, RPNProposals
    from detect.system.progress import ProgressDisplay

SPLITS = click.Choice(["train", "val"])


@click.command("recall", epilog="Example: detect proposals recall shapes.npz --set data.format=shapes")
@click.argument("file", type=Path, required=False)
@click.option("--model", type=Path, help="Score the RPN proposals of this run folder or checkpoint.")
@options.settings
@click.option("--split", type=SPLITS, default="val", show_default=True)
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the metrics to this file.")
@click.option(
    "--figure",
    "figure_file",
    type=Path,
    metavar="FILE.png",
    help="Recall figure to write [default: in the folder of FILE or MODEL].",
)
@click.option("--picture", "old_figure_file", type=Path, hidden=True)  # the old name of --figure
@options.device
@options.precision
def recall_command(
    file: Path | None,
    model: Path | None,
    overrides: tuple[str, ...],
    split: Split,
    json_file: Path | None,
    figure_file: Path | None,
    old_figure_file: Path | None,
    device: Device | None,
    precision: Precision | None,
) -> None:
    """Measure the recall of proposals on a data set: those of FILE (.npz, R-CNN's .mat, .json), or of an RPN (--model).

    Objects marked difficult or crowd do not count. Without --set a model is scored on its own data.
    """
    if (file is None) == (model is None):
        raise UserError(f"expected either FILE or --model MODEL, found {'neither' if file is None else 'both'}")
    figure_file = figure_file or old_figure_file
    if file is not None and (device or precision):
        raise UserError(f"--{'device' if device else 'precision'}: expected only together with --model, found FILE")
    if file is not None and not overrides:
        raise UserError("--set: expected the data set that FILE is of, e.g. --set data.root=FOLDER, found none")
    if figure_file is not None and figure_file.suffix != ".png":
        raise UserError(f"--figure {figure_file}: expected a name that ends in .png")
    for path in (json_file, figure_file):
        if path is not None:
            require_writable_file(path)
    tune_malloc()
    import time

    from detect.evaluation.proposal_recall import best_ious, scores_from_ious
    from detect.evaluation.proposal_report import PROPOSAL_COUNTS, draw_recall, recall_table, write_recall
    from detect.system.progress import show_progress

    if file is not None:
        proposals: FileProposals | RPNProposals = _read_file_proposals(file, overrides, split)
        title = f"{file.name}, {split}"
    else:
        proposals, notes = load_rpn_proposals(str(model), overrides, split, device, precision)
        print_lines(notes)
        title = f"RPN of {model}, {split}"
    figure_path = require_writable_file(figure_file or proposals.path.with_name(f"{proposals.path.stem}-recall.png"))
    console = Console()
    start = time.perf_counter()
    with show_progress(console, "scoring", len(proposals), "images") as progress:
        ious = best_ious(_with_progress(proposals, progress), PROPOSAL_COUNTS)
    metrics = scores_from_ious(ious, proposals.annotations.classes)
    console.print(recall_table(metrics))
    print(
        f"{metrics.proposals_per_image:.1f} proposals per image; "
        f"{metrics.images_without_proposals} of {metrics.images} images without any"
    )
    if json_file is not None:
        write_recall(json_file, metrics, time.perf_counter() - start)
    draw_recall(figure_path, ious, title)
    print(f"{figure_path}: recall figure")
    exit_if_unreadable(proposals.unreadable, len(proposals))


def _read_file_proposals(file: Path, overrides: tuple[str, ...], split: Split) -> FileProposals:
    """Read the proposals of a file, and print the lines on the split and how many images have no entry in the file."""
    from detect.config.builders.data import read_split
    from detect.inference.rpn_proposals import align_file_proposals
    from detect.proposals.files import read_proposals

    proposal_file = read_proposals(file)
    annotations, notes = read_split(options.load_data_settings(None, overrides), split)
    print_lines(notes)
    split_proposals = align_file_proposals(file, proposal_file, annotations)
    missing = split_proposals.missing
    if missing:
        print(
            f"{file}: no entry for {len(missing)} of {len(split_proposals)} images (first: {missing[0]}); "
            "they count as images without proposals"
        )
    return split_proposals


def load_rpn_proposals(
    model: str,
    overrides: tuple[str, ...],
    split: Split,
    device: Device | None,
    precision: Precision | None,
) -> tuple[RPNProposals, tuple[str, ...]]:
    """Return the proposals of a model's RPN for a split, and the lines on the split.

    Raises UserError for a model without an RPN.
    """
    from detect.config.builders.data import read_split
    from detect.inference.load import load
    from detect.inference.rpn_proposals import RPNProposals

    predictor = load(model, device or "auto", precision or "fp32", overrides)
    if predictor.proposal_search is not None:
        raise UserError(f"--model {model}: expected a model with an RPN, found one with precomputed proposals")
    annotations, notes = read_split(predictor.config, split, overrides)
    return RPNProposals(predictor, annotations, predictor.config), notes


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they are, before what takes longer."""
    for line in lines:
        print(line, flush=True)


def _with_progress(images: Iterable[ProposalsAndObjects], progress: ProgressDisplay) -> Iterator[ProposalsAndObjects]:
    for image in images:
        yield image
        progress.advance(1)
