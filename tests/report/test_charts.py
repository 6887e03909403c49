from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.report.charts import BOTTOM, LEFT, RIGHT, TOP, Series, line_chart

NOTHING: list[Series] = []


def test_line_chart_without_series() -> None:
    chart = line_chart("loss", "epoch", NOTHING)
    assert chart.lines == ()
    assert [tick.text for tick in chart.y_ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


@pytest.mark.parametrize(
    ("x", "y", "path"),
    [
        ([], [], ""),
        ([3.0], [1.0], "M220,10"),
        ([0.0, 1.0, 2.0], [0.0, 0.5, 1.0], "M50,212L220,111L390,10"),
    ],
)
def test_line_chart_path(x: list[float], y: list[float], path: str) -> None:
    (line,) = line_chart("loss", "epoch", [Series("a", x, y)], top=1.0).lines
    assert line.path == path
    assert len(line.marks) == len(x)
    assert math.isnan(line.last) if not y else line.last == y[-1]


def test_line_chart_logarithmic_axis() -> None:
    chart = line_chart("recall", "proposals", [Series("a", [1.0, 10.0, 100.0], [0.0, 0.5, 1.0])], top=1.0, log_x=True)
    assert [tick.text for tick in chart.x_ticks] == ["1", "10", "100"]
    assert [tick.position for tick in chart.x_ticks] == [50, 220, 390]
    assert chart.lines[0].path == "M50,212L220,111L390,10"


@pytest.mark.parametrize(
    ("top", "labels"),
    [
        (1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0.002, ["0", "5e-4", "1e-3", "1.5e-3", "2e-3"]),
        (3e5, ["0", "1e5", "2e5", "3e5"]),
    ],
)
def test_line_chart_tick_labels_are_short(top: float, labels: list[str]) -> None:
    chart = line_chart("lr", "epoch", [Series("a", [0.0], [0.0])], top=top)
    assert [tick.text for tick in chart.y_ticks] == labels
    assert all(len(label) <= 6 for label in labels)


def test_line_chart_many_points_are_averaged() -> None:
    chart = line_chart("loss", "step", [Series("a", list(range(1000)), [0.0, 3.0, 0.0, 3.0] * 250)])
    assert chart.averaged == 3
    assert chart.lines[0].path.count("L") == 333
    assert chart.lines[0].marks == ()


def test_line_chart_colors_repeat_dashed() -> None:
    looks = [
        line.css_class for line in line_chart("loss", "step", [Series(str(n), [0.0], [0.0]) for n in range(9)]).lines
    ]
    assert looks[0] == "s1"
    assert looks[7] == "s8"
    assert looks[8] == "s1 dashed"


NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20))
def test_line_chart_points_are_inside_the_plot(points: list[tuple[float, float]]) -> None:
    points = sorted(points)
    chart = line_chart("loss", "step", [Series("a", [x for x, _ in points], [y for _, y in points])])
    for x, y in chart.lines[0].marks:
        assert LEFT <= x <= RIGHT
        assert TOP - 0.1 <= y <= BOTTOM + 0.1
    for tick in chart.x_ticks:
        assert LEFT - 0.1 <= tick.position <= RIGHT + 0.1
    assert 1 <= len(chart.y_ticks) <= 7
