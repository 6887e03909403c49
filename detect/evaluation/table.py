"""A score as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from detect.evaluation.score import Score


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


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f}"
