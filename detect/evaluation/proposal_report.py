"""The scores of proposals as a table for the terminal, as JSON and as a figure."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from detect.evaluation.proposal_recall import AR_LIMITS, BestIoUs, ProposalScores, mabo
from detect.evaluation.score_tables import percent
from detect.system.files import write_bytes, write_text

# Numbers of proposals at which curves have points: three in each decade, and those at which AR is reported.
PROPOSAL_COUNTS = tuple(sorted({1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, *AR_LIMITS}))


def recall_table(score: ProposalScores) -> Table:
    """Return ABO by class, then the scores of the whole data set, in percent; a dash where there is no ground truth."""
    table = Table(title=f"{score.images} images, {score.objects} objects")
    table.add_column("class")
    table.add_column("ABO", justify="right")
    for name, abo in score.abo.items():
        table.add_row(name, percent(abo))
    table.add_section()
    table.add_row("MABO", percent(score.mabo), style="bold")
    table.add_section()
    for limit, recall in score.average_recall.items():
        table.add_row(f"AR@{limit}", percent(recall))
    table.add_section()
    for iou, recall in score.recall.items():
        table.add_row(f"recall at IoU {iou:.2f}", percent(recall))
    return table


def write_recall(path: Path, score: ProposalScores, seconds: float) -> None:
    """Write the JSON file of ``--json``: fractions in 0..1, null where there is no ground truth; per_class is ABO."""
    content = {
        "metric": "proposals",
        "MABO": score.mabo,
        **{f"AR{limit}": recall for limit, recall in score.average_recall.items()},
        "recall": {f"{iou:.2f}": recall for iou, recall in score.recall.items()},
        "per_class": score.abo,
        "images": score.images,
        "images_without_proposals": score.images_without_proposals,
        "objects": score.objects,
        "proposals_per_image": score.proposals_per_image,
        "seconds": seconds,
    }
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def draw_recall(path: Path, best: BestIoUs, title: str) -> None:
    """Write a .png figure: recall against IoU for several numbers of proposals, and scores against that number.

    best: with ``PROPOSAL_COUNTS`` as its limits.
    """
    figure = Figure(figsize=(10.0, 3.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    left, right = figure.subplots(1, 2)
    if len(best.all_proposals):
        _plot_against_iou(left, best)
        _plot_against_count(right, best)
    for axes in (left, right):
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        if len(best.all_proposals):
            axes.legend(fontsize=8, frameon=False)
        else:
            axes.text(0.5, 0.5, "no objects", ha="center", va="center", color="gray", transform=axes.transAxes)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    write_bytes(path, png.getvalue())


def _plot_against_iou(axes: Axes, best: BestIoUs) -> None:
    """Draw recall against the IoU threshold, a line for each number of proposals."""
    thresholds = np.linspace(0.5, 1, 101)
    max_count = int(best.counts.max())
    lines = [(f"first {limit}", best.with_first(limit)) for limit in AR_LIMITS if limit < max_count]
    for name, ious in lines:
        axes.plot(thresholds, _recall(ious, thresholds), label=name)
    # This line is dashed so that another line below it is visible where more proposals add nothing.
    name = f"all, {best.counts.mean():.0f} per image"
    axes.plot(
        thresholds, _recall(best.all_proposals, thresholds), label=name, color="black", linestyle="--", linewidth=1.2
    )
    axes.set_xlim(0.5, 1)
    axes.set_xlabel("IoU", fontsize=9)
    axes.set_ylabel("recall", fontsize=9)


def _plot_against_count(axes: Axes, best: BestIoUs) -> None:
    """Draw recall at IoU 0.5 and MABO against the number of proposals."""
    max_count = int(best.counts.max())
    counts = [count for count in PROPOSAL_COUNTS if count < max_count]
    ious = [*(best.with_first(count) for count in counts), best.all_proposals]
    for name, scores in (
        ("recall at IoU 0.5", [(row >= 0.5).mean() for row in ious]),
        ("MABO", [mabo(row, best.labels) or 0.0 for row in ious]),
    ):
        axes.plot([*counts, max(1, max_count)], scores, label=name, marker="o", markersize=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("proposals per image, the first ones", fontsize=9)


def _recall(ious: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the fraction of objects whose best IoU (T,) reaches each threshold (N,)."""
    return 1 - np.searchsorted(np.sort(ious), thresholds, side="left") / len(ious)
