"""A score of proposals as a table, as JSON and as a picture."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from detect.evaluation.proposal_recall import LIMITS, BestOverlaps, ProposalScores, mabo
from detect.system.files import write_bytes, write_text

# Numbers of proposals that curves go through: three a decade, and those that AR is told at.
COUNTS = tuple(sorted({1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, *LIMITS}))


def recall_table(score: ProposalScores) -> Table:
    """ABO by class, then the whole data set's numbers, in percent; a dash where there is no ground truth."""
    table = Table(title=f"{score.images} images, {score.objects} objects")
    table.add_column("class")
    table.add_column("ABO", justify="right")
    for name, value in score.abo.items():
        table.add_row(name, _percent(value))
    table.add_section()
    table.add_row("MABO", _percent(score.mabo), style="bold")
    table.add_section()
    for limit, value in score.average_recall.items():
        table.add_row(f"AR@{limit}", _percent(value))
    table.add_section()
    for overlap, value in score.recall.items():
        table.add_row(f"recall at IoU {overlap:.2f}", _percent(value))
    return table


def write_recall(path: Path, score: ProposalScores, seconds: float) -> None:
    """``--json``: fractions in 0..1, null where there is no ground truth; ``per_class`` is ABO."""
    plain = {
        "metric": "proposals",
        "MABO": score.mabo,
        **{f"AR{limit}": value for limit, value in score.average_recall.items()},
        "recall": {f"{overlap:.2f}": value for overlap, value in score.recall.items()},
        "per_class": score.abo,
        "images": score.images,
        "images_without_proposals": score.images_without_proposals,
        "objects": score.objects,
        "proposals_per_image": score.proposals_per_image,
        "seconds": seconds,
    }
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def draw_recall(path: Path, best: BestOverlaps, title: str) -> None:
    """Write a .png: recall against IoU for several numbers of proposals, and scores against that number.

    best: measured at ``COUNTS``.
    """
    figure = Figure(figsize=(10.0, 3.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    left, right = figure.subplots(1, 2)
    if len(best.every):
        _against_overlap(left, best)
        _against_number(right, best)
    for axes in (left, right):
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        if len(best.every):
            axes.legend(fontsize=8, frameon=False)
        else:
            axes.text(0.5, 0.5, "no objects", ha="center", va="center", color="gray", transform=axes.transAxes)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes(path, picture.getvalue())


def _against_overlap(axes: Axes, best: BestOverlaps) -> None:
    overlaps = np.linspace(0.5, 1, 101)
    most = int(best.counts.max())
    lines = [(f"first {limit}", best.within(limit)) for limit in LIMITS if limit < most]
    for name, row in lines:
        axes.plot(overlaps, _recall(row, overlaps), label=name)
    # Dashed: where more proposals add nothing the line below it shows.
    name = f"all, {best.counts.mean():.0f} an image"
    axes.plot(overlaps, _recall(best.every, overlaps), label=name, color="black", linestyle="--", linewidth=1.2)
    axes.set_xlim(0.5, 1)
    axes.set_xlabel("IoU", fontsize=9)
    axes.set_ylabel("recall", fontsize=9)


def _against_number(axes: Axes, best: BestOverlaps) -> None:
    most = int(best.counts.max())
    counts = [count for count in COUNTS if count < most]
    rows = [*(best.within(count) for count in counts), best.every]
    numbers = [*counts, max(1, most)]
    for name, values in (
        ("recall at IoU 0.5", [(row >= 0.5).mean() for row in rows]),
        ("MABO", [mabo(row, best.labels) or 0.0 for row in rows]),
    ):
        axes.plot(numbers, values, label=name, marker="o", markersize=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("proposals an image, the first ones", fontsize=9)


def _recall(row: np.ndarray, overlaps: np.ndarray) -> np.ndarray:
    """The share of objects whose best overlap reaches each of ``overlaps``."""
    return 1 - np.searchsorted(np.sort(row), overlaps, side="left") / len(row)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f}"
