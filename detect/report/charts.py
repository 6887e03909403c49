"""Line charts as numbers: places in a box of fixed units, which a template turns into SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 250  # units of the drawing; a letter is 12 high
LEFT, RIGHT, TOP, BOTTOM = 50, 390, 10, 212  # the plot inside it
COLOURS = 8  # that the page has for lines; further lines are dashed
_MOST_POINTS = 400  # of a line: as many as a wide screen shows apart


@dataclass(frozen=True)
class Series:
    """A line to draw: x ascending, y of the same length; look: a class of the style sheet, "" for the next colour."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    look: str = ""


@dataclass(frozen=True)
class Line:
    """path: SVG's; marks: its points, where they are few; last: the value at its end."""

    name: str
    look: str
    path: str
    marks: tuple[tuple[float, float], ...]
    last: float


@dataclass(frozen=True)
class Tick:
    """at: where, in units of the drawing."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Everything that a template needs; averaged: how many numbers each point is the mean of."""

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
    """The y axis goes from 0 (or the least value below) to ``top``, or to the highest value.

    x_span: the ends of the x axis, else those of the data; log_x: its scale, for values above 0. A line of more than
    400 points is drawn through means of neighbours.
    """
    group = max([1, *(math.ceil(len(one.x) / _MOST_POINTS) for one in series)])
    shown = [Series(one.name, _means(one.x, group), _means(one.y, group), one.look) for one in series]
    xs, ys = [x for one in shown for x in one.x], [y for one in shown for y in one.y]
    low, high = x_span or (min(xs, default=0.0), max(xs, default=1.0))
    ticks = _decades(low, high) if log_x else _round_steps(low, high, 6)
    place_x = _scale(math.log10(low), math.log10(high), LEFT, RIGHT) if log_x else _scale(low, high, LEFT, RIGHT)
    bottom, upper = min([0.0, *ys]), top if top is not None else max([0.0, *ys]) * 1.04 or 1.0
    place_y = _scale(bottom, upper, BOTTOM, TOP)

    def at(x: float, y: float) -> tuple[float, float]:
        return round(place_x(math.log10(x) if log_x else x), 1), round(place_y(y), 1)

    lines = []
    for number, one in enumerate(shown):
        places = [at(x, y) for x, y in zip(one.x, one.y, strict=True)]
        path = "M" + "L".join(f"{x:g},{y:g}" for x, y in places) if places else ""
        dashed = " dashed" if number >= COLOURS else ""
        look = one.look or f"s{number % COLOURS + 1}{dashed}"
        marks = tuple(places) if len(places) < 30 and not one.look else ()
        lines.append(Line(one.name, look, path, marks, one.y[-1] if len(one.y) else math.nan))
    return Chart(
        title,
        x_label,
        tuple(lines),
        tuple(Tick(at(value, bottom)[0], _short(value)) for value in ticks),
        tuple(Tick(round(place_y(value), 1), _short(value)) for value in _round_steps(bottom, upper, 5)),
        group,
    )


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Maps low..high to start..end; a single value to the middle."""
    if not high > low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) * (end - start) / (high - low)


def _round_steps(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` + 1 multiples of 1, 2 or 5 times a power of ten, between low and high."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _short(value: float) -> str:
    """0.0015 -> 1.5e-3: there is room for six letters."""
    if value == 0 or 0.01 <= abs(value) < 1e5:
        return f"{value:g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _decades(low: float, high: float) -> list[float]:
    """The powers of ten between low and high."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**n for n in range(first, last + 1)]


def _means(values: Sequence[float], group: int) -> list[float]:
    """Of each ``group`` neighbours."""
    if group == 1:
        return list(values)
    blocks = [values[start : start + group] for start in range(0, len(values), group)]
    return [sum(block) / len(block) for block in blocks]
