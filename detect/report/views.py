"""The results of a report as charts and tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detect.evaluation.analysis.calibration import Calibration
from detect.evaluation.analysis.confusion import Confusion
from detect.evaluation.proposal_recall import AR_LIMITS, BestIoUs, mabo
from detect.evaluation.proposal_report import PROPOSAL_COUNTS
from detect.report.charts import NUM_COLORS, Chart, Series, line_chart
from detect.report.results import EvaluationResults
from detect.training.curves import Curves, filled_panels, points

MAX_MATRIX_CLASSES = 24  # as many cells as a wide screen shows in a row
_MAX_PAIRS = 12


def training_charts(curves: Curves) -> list[Chart]:
    """Return charts of every loss and metric of a metrics.csv over the epochs (or steps, without epochs)."""
    x_label = "epoch" if "epoch" in curves else "step"
    charts = []
    for title, names in filled_panels(curves):
        series = [Series(name.removeprefix("val_"), *points(curves, name)) for name in names]
        charts.append(line_chart(title, x_label, series, top=1.0 if title == "validation metrics" else None))
    return charts


def recall_curve_chart(results: EvaluationResults) -> Chart:
    """Return the precision-recall curves, the mean of the classes in front.

    With more classes than colors all classes are grey.
    """
    curves = results.precision_recall
    recalls = curves.recalls.tolist()
    rows = zip(results.classes, curves.precision, strict=True)
    by_class = [(class_.name, row.tolist()) for class_, row in rows if not np.isnan(row).any()]
    css_class = "class" if len(by_class) > NUM_COLORS else ""
    series = [Series(name, recalls, row, css_class) for name, row in by_class]
    if len(series) > 1:
        series.append(Series("mean of the classes", recalls, curves.mean.tolist(), "mean"))
    return line_chart("Precision against recall", "recall", series, x_span=(0.0, 1.0), top=1.0)


def calibration_chart(calibration: Calibration) -> Chart:
    """Return the reliability diagram: the fraction of true positives against the score, and the diagonal."""
    filled = calibration.counts > 0
    series = [
        Series("perfect calibration", [0.0, 1.0], [0.0, 1.0], "ideal"),
        Series("precision", calibration.scores[filled].tolist(), calibration.precision[filled].tolist()),
    ]
    return line_chart("Precision by score", "score", series, x_span=(0.0, 1.0), top=1.0)


def recall_by_iou_chart(best: BestIoUs) -> Chart:
    """Return recall against the IoU threshold, a line for each number of proposals."""
    thresholds = np.linspace(0.5, 1.0, 51)
    max_count = int(best.counts.max(initial=0))
    rows = [(f"first {limit}", best.with_first(limit)) for limit in AR_LIMITS if limit < max_count]
    rows.append((f"all, {best.counts.mean():.0f} per image", best.all_proposals))
    series = [
        Series(name, thresholds.tolist(), [float((ious >= threshold).mean()) for threshold in thresholds])
        for name, ious in rows
    ]
    return line_chart("Recall by IoU", "IoU with the best proposal", series, x_span=(0.5, 1.0), top=1.0)


def recall_by_count_chart(best: BestIoUs) -> Chart:
    """Return recall and mean average best overlap against the number of proposals."""
    max_count = max(int(best.counts.max(initial=0)), 1)
    counts = [count for count in PROPOSAL_COUNTS if count < max_count]
    rows = [*(best.with_first(count) for count in counts), best.all_proposals]
    x = [*map(float, counts), float(max_count)]
    series = [
        Series("recall at IoU 0.5", x, [float((ious >= 0.5).mean()) for ious in rows]),
        Series("MABO", x, [mabo(ious, best.labels) or 0.0 for ious in rows]),
    ]
    title = "Recall by number of proposals"
    return line_chart(title, "proposals an image, the first ones", series, top=1.0, log_x=True)


@dataclass(frozen=True)
class Cell:
    """A cell of the matrix. count: of objects; share: the fraction of its row, in 0..1."""

    count: int
    share: float


@dataclass(frozen=True)
class ConfusionView:
    """The confusion matrix as a table.

    names: of rows and columns, "" for background; pairs: the most frequent confusions (class, detected as, number);
    left_out: how many classes are not in the matrix, those with the fewest confusions.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    pairs: tuple[tuple[str, str, int], ...]
    left_out: int


def confusion_view(confusion: Confusion) -> ConfusionView:
    """Return the matrix of at most 24 classes, in the order of the classes."""
    classes, counts = confusion.classes, confusion.counts
    names = ("", *classes)
    wrong = counts * (1 - np.eye(len(names), dtype=np.int64))
    between = wrong[1:, 1:]
    # Classes with most confusions first; of equals, those with most objects.
    priority = (between.sum(axis=0) + between.sum(axis=1)) * 10**9 + counts[1:].sum(axis=1)
    selected = np.sort(np.argsort(-priority, kind="stable")[:MAX_MATRIX_CLASSES]) + 1
    labels = np.append(selected, 0)
    totals = np.maximum(counts.sum(axis=1), 1)
    rows = tuple(tuple(Cell(int(counts[i, j]), float(counts[i, j] / totals[i])) for j in labels) for i in labels)
    ranked = np.argsort(-between, axis=None, kind="stable")[:_MAX_PAIRS].tolist()
    cells = [divmod(flat_index, len(classes)) for flat_index in ranked]
    pairs = tuple((classes[i], classes[j], int(between[i, j])) for i, j in cells if between[i, j])
    return ConfusionView(tuple(names[i] for i in labels), rows, pairs, len(classes) - len(selected))


KIND_DESCRIPTIONS: Mapping[str, str] = {
    "classification": "on an object, with another class's name",
    "localisation": "the right class, but too little overlap (IoU 0.1 to 0.5)",
    "both": "another class's name and too little overlap",
    "duplicate": "on an object that a better detection matches",
    "background": "where there is no object",
    "missed": "objects that no detection is about",
}
RANGE_DESCRIPTIONS: Mapping[str, str] = {
    "size": "small: below 32 x 32 pixels, large: above 96 x 96",
    "aspect": "width to height: tall below 3:4, wide above 4:3",
    "crowding": "IoU with the next object: touching above 0.1, crowded above 0.3",
    "border": "within 2 pixels of the image's edge, where objects are truncated",
}


def largest(fractions: Sequence[float | None]) -> float:
    """Return the largest fraction that is not None, by which bars are scaled; never 0."""
    return max([1e-9, *(fraction for fraction in fractions if fraction is not None)])
