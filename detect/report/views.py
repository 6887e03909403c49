"""Findings as the charts and tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detect.evaluation.analysis.calibration import Calibration
from detect.evaluation.analysis.confusion import Confusion
from detect.evaluation.proposal_recall import LIMITS, BestOverlaps, mabo
from detect.evaluation.proposal_report import COUNTS
from detect.report.charts import COLOURS, Chart, Series, line_chart
from detect.report.results import Findings
from detect.training.curves import Curves, filled_panels, points

MOST_IN_MATRIX = 24  # classes: a wide screen holds as many cells
_MOST_PAIRS = 12


def training_charts(curves: Curves) -> list[Chart]:
    """Every loss and metric of a metrics.csv over the epochs (or steps, where it knows no epochs)."""
    place = "epoch" if "epoch" in curves else "step"
    charts = []
    for title, names in filled_panels(curves):
        series = [Series(name.removeprefix("val_"), *points(curves, name)) for name in names]
        charts.append(line_chart(title, place, series, top=1.0 if title == "validation metrics" else None))
    return charts


def recall_curve_chart(findings: Findings) -> Chart:
    """Precision against recall: the mean of the classes in front; more classes than there are colours are all grey."""
    every = findings.precision_recall
    rows = zip(findings.classes, every.precision, strict=True)
    known = [(one.name, row.tolist()) for one, row in rows if not np.isnan(row).any()]
    look = "class" if len(known) > COLOURS else ""
    series = [Series(name, every.recalls.tolist(), row, look) for name, row in known]
    if len(series) > 1:
        series.append(Series("mean of the classes", every.recalls.tolist(), every.mean.tolist(), "mean"))
    return line_chart("Precision against recall", "recall", series, x_span=(0.0, 1.0), top=1.0)


def calibration_chart(found: Calibration) -> Chart:
    """The share of detections that is true against their score, beside what it ought to be."""
    known = found.counts > 0
    series = [
        Series("perfect", [0.0, 1.0], [0.0, 1.0], "ideal"),
        Series("share that is true", found.scores[known].tolist(), found.precision[known].tolist()),
    ]
    return line_chart("Share of true detections by score", "score", series, x_span=(0.0, 1.0), top=1.0)


def overlap_chart(best: BestOverlaps) -> Chart:
    """The share of objects that some proposal covers, by how well."""
    overlaps = np.linspace(0.5, 1.0, 51)
    most = int(best.counts.max(initial=0))
    rows = [(f"first {limit}", best.within(limit)) for limit in LIMITS if limit < most]
    rows.append((f"all, {best.counts.mean():.0f} an image", best.every))
    series = [
        Series(name, overlaps.tolist(), [float((row >= overlap).mean()) for overlap in overlaps]) for name, row in rows
    ]
    return line_chart("Objects covered", "IoU with the best proposal", series, x_span=(0.5, 1.0), top=1.0)


def number_chart(best: BestOverlaps) -> Chart:
    """Recall and mean average best overlap against the number of proposals."""
    most = max(int(best.counts.max(initial=0)), 1)
    counts = [count for count in COUNTS if count < most]
    rows = [*(best.within(count) for count in counts), best.every]
    places = [*map(float, counts), float(most)]
    series = [
        Series("recall at IoU 0.5", places, [float((row >= 0.5).mean()) for row in rows]),
        Series("MABO", places, [mabo(row, best.labels) or 0.0 for row in rows]),
    ]
    return line_chart("By the number of proposals", "proposals an image, the first ones", series, top=1.0, log_x=True)


@dataclass(frozen=True)
class Cell:
    """count: of objects; share: of its row, in 0..1."""

    count: int
    share: float


@dataclass(frozen=True)
class ConfusionView:
    """names: of rows and columns, "" for background; pairs: what is most often taken for what, with the number.

    left_out: classes that are not in the matrix, those that take least part in mistakes.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    pairs: tuple[tuple[str, str, int], ...]
    left_out: int


def confusion_view(found: Confusion) -> ConfusionView:
    """At most 24 classes, in their own order."""
    names = ("", *found.classes)
    wrong = found.counts * (1 - np.eye(len(names), dtype=np.int64))
    parts = (wrong[1:, 1:].sum(axis=0) + wrong[1:, 1:].sum(axis=1)) * 10**9 + found.counts[1:].sum(axis=1)
    chosen = np.sort(np.argsort(-parts, kind="stable")[:MOST_IN_MATRIX]) + 1
    shown = np.append(chosen, 0)
    totals = np.maximum(found.counts.sum(axis=1), 1)
    rows = tuple(
        tuple(Cell(int(found.counts[i, j]), float(found.counts[i, j] / totals[i])) for j in shown) for i in shown
    )
    between = wrong[1:, 1:]
    ranked = np.argsort(-between, axis=None, kind="stable")[:_MOST_PAIRS].tolist()
    places = [divmod(place, len(found.classes)) for place in ranked]
    pairs = tuple((found.classes[i], found.classes[j], int(between[i, j])) for i, j in places if between[i, j])
    return ConfusionView(tuple(names[i] for i in shown), rows, pairs, len(found.classes) - len(chosen))


KINDS_IN_WORDS: Mapping[str, str] = {
    "classification": "on an object, with another class's name",
    "localisation": "the right class, but too little overlap (IoU 0.1 to 0.5)",
    "both": "another class's name and too little overlap",
    "duplicate": "on an object that a better detection has",
    "background": "where nothing is",
    "missed": "objects that no detection is about",
}
RANGES_IN_WORDS: Mapping[str, str] = {
    "size": "small: below 32 x 32 pixels, large: above 96 x 96",
    "aspect": "width to height: tall below 3:4, wide above 4:3",
    "crowding": "IoU with the next object: touching above 0.1, crowded above 0.3",
    "border": "within 2 pixels of the image's edge, where objects are cut off",
}


def widest(values: Sequence[float | None]) -> float:
    """The largest of those that are known, for bars to be drawn against; never 0."""
    return max([1e-9, *(value for value in values if value is not None)])
