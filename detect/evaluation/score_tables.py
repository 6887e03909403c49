"""Scores as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from detect.evaluation.profiles import Change, ProfileScore, rise
from detect.evaluation.score import Score

_MOVED = 5  # classes named for a rule; the JSON form has all


def score_table(score: Score) -> Table:
    """AP by class, then the metric's own numbers, in percent; a dash where there is no ground truth."""
    table = Table(title=f"{score.metric}: {score.images} images")
    table.add_column("class")
    table.add_column("AP" if score.metric == "coco" else "AP50", justify="right")
    for name, value in score.per_class.items():
        table.add_row(name, _percent(value))
    table.add_section()
    for name, value in score.numbers.items():
        table.add_row(name, _percent(value), style="bold" if name == score.primary_name else None)
    return table


def profile_table(scores: Mapping[str, ProfileScore]) -> Table:
    """AP by class under every profile, then the mean, in percent."""
    table = Table(title="The same detections under other rules")
    table.add_column("class")
    for name in scores:
        table.add_column(name.replace("-", "-\n"), justify="right")
    for name in next(iter(scores.values())).per_class:
        table.add_row(name, *(_percent(score.per_class[name]) for score in scores.values()))
    table.add_section()
    table.add_row("mAP", *(_percent(score.mAP) for score in scores.values()), style="bold")
    return table


def change_table(scores: Mapping[str, ProfileScore]) -> Table:
    """What each rule that sets a profile apart does to the mean and to the classes that it moves most, in points."""
    table = Table(title="Which rule moves which class, in points")
    table.add_column("rule")
    table.add_column("mAP", justify="right")
    table.add_column("classes")
    for name, score in scores.items():
        if score.base is None:
            continue
        table.add_section()
        table.add_row(f"{score.base} -> {name}", _points(rise(scores[score.base].mAP, score.mAP)), "", style="bold")
        for change in score.changes:
            table.add_row(f"{change.was} -> {change.now}", _points(change.mAP), _moved(change))
    return table


def _moved(change: Change) -> str:
    """The classes that a rule moves by what a percentage with two decimals shows, most moved first."""
    moved = [(name, by) for name, by in change.per_class.items() if by is not None and abs(by) >= 0.5e-4]
    moved.sort(key=lambda entry: -abs(entry[1]))
    named = ", ".join(f"{name} {_points(by)}" for name, by in moved[:_MOVED])
    return f"{named}, {len(moved) - _MOVED} more" if len(moved) > _MOVED else named or "none"


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f}"


def _points(fraction: float | None) -> str:
    return "-" if fraction is None else f"{round(100 * fraction, 2) + 0.0:+.2f}"
