"""Two runs side by side for the terminal."""

from __future__ import annotations

from rich.table import Table

from detect.evaluation.analysis.compare_runs import Difference, RunComparison, Tally
from detect.evaluation.predictions import below_shared_folder
from detect.evaluation.score import Score


def difference_table(first: Score, second: Score, comparison: RunComparison) -> Table:
    """AP by class and its mean under both, the difference in points, and how sure it is."""
    table = Table(title=f"{first.metric}: the second model against the first, {first.images} images")
    for name in ("class", "first", "second", "difference", "95% interval", "second better"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, difference in comparison.per_class.items():
        table.add_row(name, *_cells(first.per_class[name], second.per_class[name], difference))
    table.add_section()
    table.add_row(first.primary_name, *_cells(first.primary, second.primary, comparison.mAP), style="bold")
    return table


def photo_table(comparison: RunComparison, most: int = 10) -> Table:
    """The photos that differ most, each class of each run from the score of its best F1 on."""
    table = Table(title="Where they differ most: objects found, false detections, objects missed")
    table.add_column("photo", overflow="fold")
    for name in ("first", "second", "errors"):
        table.add_column(name, justify="right")
    photos = comparison.photos[:most]
    for photo, name in zip(photos, below_shared_folder([photo.file for photo in photos]), strict=True):
        table.add_row(name, _told(photo.first), _told(photo.second), f"{-photo.fewer:+d}")
    return table


def _cells(first: float | None, second: float | None, difference: Difference | None) -> list[str]:
    if first is None or second is None or difference is None:
        return ["-"] * 5
    ends = difference.interval
    return [
        f"{100 * first:.1f}",
        f"{100 * second:.1f}",
        _points(ends.value),
        f"{_points(ends.low)} to {_points(ends.high)}",
        f"{100 * difference.second_better:.0f}%",
    ]


def _points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:+.1f}"


def _told(tally: Tally) -> str:
    return f"{tally.found}, {tally.false}, {tally.missed}"
