"""Line charts as coordinates in a box of fixed units, which a template turns into SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 250  # units of the drawing; a letter is 12 high
LEFT, RIGHT, TOP, BOTTOM = 50, 390, 10, 212  # the plot inside it
NUM_COLORS = 8  # of lines on the page; further lines are dashed
_MAX_POINTS = 400  # of a line: as many as a wide screen can separate


@dataclass(frozen=True)
class Series:
    """A line to draw: x ascending, y of the same length; css_class: of the style sheet, "" for the next color."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    css_class: str = ""


@dataclass(frozen=True)
class Line:
    """A line as drawn. path: of the SVG; marks: its points, if there are few; last: the y value at its end."""

    name: str
    css_class: str
    path: str
    marks: tuple[tuple[float, float], ...]
    last: float


@dataclass(frozen=True)
class Tick:
    """A label on an axis; position: in units of the drawing."""

    position: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart as the template draws it; averaged: the number of values of which each point is the mean."""

    title: str
    x_label: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    averaged: int = 1


def line_chart(
    title: str,
    x_label: str,
    series: Sequence[Series],
    x_span: tuple[float, float] | None = None,
    top: float | None = None,
    log_x: bool = False,
) -> Chart:
    """Return a chart whose y axis goes from 0 (or the lowest value below 0) to ``top`` or to the highest value.

    x_span: the ends of the x axis, by default those of the data; log_x: a logarithmic x axis, for x above 0. A
    line of more than 400 points is drawn through the means of neighbors.
    """
    group = max([1, *(math.ceil(len(line.x) / _MAX_POINTS) for line in series)])
    averaged = [Series(line.name, _means(line.x, group), _means(line.y, group), line.css_class) for line in series]
    xs, ys = [x for line in averaged for x in line.x], [y for line in averaged for y in line.y]
    low, high = x_span or (min(xs, default=0.0), max(xs, default=1.0))
    ticks = _decades(low, high) if log_x else _round_steps(low, high, 6)
    scale_x = _scale(math.log10(low), math.log10(high), LEFT, RIGHT) if log_x else _scale(low, high, LEFT, RIGHT)
    bottom, upper = min([0.0, *ys]), top if top is not None else max([0.0, *ys]) * 1.04 or 1.0
    scale_y = _scale(bottom, upper, BOTTOM, TOP)

    def point(x: float, y: float) -> tuple[float, float]:
        return round(scale_x(math.log10(x) if log_x else x), 1), round(scale_y(y), 1)

    lines = []
    for index, line in enumerate(averaged):
        points = [point(x, y) for x, y in zip(line.x, line.y, strict=True)]
        path = "M" + "L".join(f"{x:g},{y:g}" for x, y in points) if points else ""
        dashed = " dashed" if index >= NUM_COLORS else ""
        css_class = line.css_class or f"s{index % NUM_COLORS + 1}{dashed}"
        marks = tuple(points) if len(points) < 30 and not line.css_class else ()
        lines.append(Line(line.name, css_class, path, marks, line.y[-1] if len(line.y) else math.nan))
    return Chart(
        title,
        x_label,
        tuple(lines),
        tuple(Tick(point(tick, bottom)[0], _short(tick)) for tick in ticks),
        tuple(Tick(round(scale_y(tick), 1), _short(tick)) for tick in _round_steps(bottom, upper, 5)),
        group,
    )


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return a function that maps low..high to start..end; if low is high, everything to the middle."""
    if not high > low:
        return lambda _: (start + end) / 2
    return lambda x: start + (x - low) * (end - start) / (high - low)


def _round_steps(low: float, high: float, max_steps: int) -> list[float]:
    """Return at most ``max_steps`` + 1 multiples of 1, 2 or 5 times a power of ten, between low and high."""
    if not high > low:
        return [low]
    rough = (high - low) / max_steps
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _short(tick: float) -> str:
    """Format a number with at most six characters: 0.0015 -> 1.5e-3."""
    if tick == 0 or 0.01 <= abs(tick) < 1e5:
        return f"{tick:g}"
    mantissa, exponent = f"{tick:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _decades(low: float, high: float) -> list[float]:
    """Return the powers of ten between low and high."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**n for n in range(first, last + 1)]


def _means(values: Sequence[float], group: int) -> list[float]:
    """Return the means of ``group`` neighbors each: (N,) -> (ceil(N / group),)."""
    if group == 1:
        return list(values)
    blocks = [values[start : start + group] for start in range(0, len(values), group)]
    return [sum(block) / len(block) for block in blocks]
