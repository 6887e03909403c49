"""What a benchmark found, for people and for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detect.bench.timing import Timing

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """title: what was measured; command: that makes it again; rows: one value for each of columns; remarks: a sentence
    each; seconds: of every turn, by contender.
    """

    title: str
    command: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    remarks: tuple[str, ...] = ()
    seconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def markdown(self) -> str:
        """A heading, the command, the table, the remarks."""
        lines = [f"## {self.title}", "", f"    {self.command}", "", _row(self.columns)]
        lines.append(_row(["---"] * len(self.columns)))
        lines += [_row([format_cell(cell) for cell in row]) for row in self.rows]
        lines += ["", *(f"- {remark}" for remark in self.remarks)] if self.remarks else []
        return "\n".join([*lines, ""])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "command": self.command,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "remarks": list(self.remarks),
            "seconds": {name: list(spent) for name, spent in self.seconds.items()},
        }


def comparison_rows(timings: Mapping[str, Timing], of: str) -> tuple[tuple[Cell, ...], ...]:
    """A row for each contender: median, quickest and slowest seconds, and its median over that of ``of``."""
    base = timings[of].median
    return tuple((name, each.median, *each.min_max, format_ratio(each.median / base)) for name, each in timings.items())


COMPARISON_COLUMNS = ("contender", "median s", "quickest s", "slowest s", "times as long")


def raw_seconds(timings: Mapping[str, Timing]) -> dict[str, tuple[float, ...]]:
    """For ``Table.seconds``."""
    return {name: each.seconds for name, each in timings.items()}


def format_ratio(value: float) -> str:
    """With two decimals."""
    return f"{value:.2f}"


def format_cell(cell: Cell) -> str:
    """Of a number three digits that say something."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return str(cell)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
