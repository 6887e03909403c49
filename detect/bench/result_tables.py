"""Tables of measurements, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from detect.bench.relative_time import relative_time
from detect.bench.timing import Timing
from detect.evaluation.analysis.bootstrap import Interval
from detect.system.numbers import format_number

Cell = str | float | int | Interval | None
VariantName = TypeVar("VariantName", bound=str | int)


@dataclass(frozen=True)
class BenchmarkTable:
    """The measurements of a benchmark.

    title: the name of the benchmark; command: the command that repeats it; rows: one cell for each column; notes: one
    sentence each; seconds: of every repeat, by variant.
    """

    title: str
    command: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def to_markdown(self) -> str:
        """Return the heading, the command, the table and the notes in Markdown."""
        lines = [f"## {self.title}", "", f"    {self.command}", "", _row(self.columns)]
        lines.append(_row(["---"] * len(self.columns)))
        lines += [_row([format_cell(cell) for cell in row]) for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join([*lines, ""])

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain values for JSON; an interval is ``{"value", "low", "high"}``."""
        return {
            "title": self.title,
            "command": self.command,
            "rows": [dict(zip(self.columns, map(_plain, row), strict=True)) for row in self.rows],
            "remarks": list(self.notes),
            "seconds": {name: list(seconds) for name, seconds in self.seconds.items()},
        }


def comparison_rows(timings: Mapping[VariantName, Timing], baseline: VariantName) -> tuple[tuple[Cell, ...], ...]:
    """Return a row for each variant: median, min and max seconds, and its median relative to that of ``baseline``.

    The relative time has a 95% interval over the turns, but that of ``baseline`` itself is 1.
    """
    rows: list[tuple[Cell, ...]] = []
    for name, timing in timings.items():
        relative = 1.0 if name == baseline else relative_time(timing, timings[baseline])
        rows.append((name, timing.median, *timing.min_max, relative))
    return tuple(rows)


COMPARISON_COLUMNS = ("variant", "median s", "min s", "max s", "relative time")


def raw_seconds(timings: Mapping[str, Timing]) -> dict[str, tuple[float, ...]]:
    """Return the seconds of every repeat by variant, for ``BenchmarkTable.seconds``."""
    return {name: timing.seconds for name, timing in timings.items()}


def format_cell(cell: Cell) -> str:
    """Format a cell; a float with three significant digits, and from 1000 on without decimals.

    The ends of an interval have as many: 0.597 [0.551, 0.645]. With fewer an interval could leave out its own value.
    """
    if cell is None:
        return ""
    if isinstance(cell, Interval):
        return f"{format_number(cell.value)} [{format_number(cell.low)}, {format_number(cell.high)}]"
    if isinstance(cell, float):
        return format_number(cell)
    return str(cell)


def _plain(cell: Cell) -> object:
    return asdict(cell) if isinstance(cell, Interval) else cell


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
