from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from detect.system import progress as module
from detect.system.progress import Bar, Lines, Rate, display


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(module, "time", moved)
    return moved


def lines(clock: Clock, advances: list[tuple[float, int]], before: int = 0) -> list[str]:
    """What a piped display of 100 images prints, ``advances`` being (time, count)."""
    written = io.StringIO()
    with display(Console(file=written), "detecting", 100, "images") as shown:
        if before:
            shown.found_done(before)
        for now, count in advances:
            clock.now = now
            shown.advance(count)
    return written.getvalue().splitlines()


@pytest.mark.parametrize(
    ("advances", "before", "expected"),
    [
        pytest.param([], 0, [], id="nothing done"),
        pytest.param([(1, 10), (19, 10)], 0, [], id="too early to say anything"),
        pytest.param([(20, 40)], 0, ["detecting: 40 of 100 images, 2 a second, 30 s left"], id="a line"),
        pytest.param(
            [(20, 40), (30, 20)], 0, ["detecting: 40 of 100 images, 2 a second, 30 s left"], id="one, not two"
        ),
        pytest.param([(25, 0)], 0, [], id="no rate without work"),
        pytest.param(
            [(20, 10)],
            80,
            [
                "detecting: 80 of 100 images were done before",
                "detecting: 90 of 100 images, 0.5 a second, 20 s left",
            ],
            id="an earlier run says nothing about the rate",
        ),
    ],
)
def test_lines(clock: Clock, advances: list[tuple[float, int]], before: int, expected: list[str]) -> None:
    assert lines(clock, advances, before) == expected


def test_a_line_of_ones_own_replaces_the_count() -> None:
    written = io.StringIO()
    shown = Lines(Console(file=written), "training", 10, "steps")
    shown.advance(5, "loss 1", "step 5/10")
    assert written.getvalue() == "step 5/10\n"


def test_a_bar_starts_where_an_earlier_run_stopped() -> None:
    progress = Progress(Rate(), console=Console(file=io.StringIO()))
    task = progress.add_task("detecting", total=100, note="")
    bar = Bar(progress, task)
    bar.found_done(80)
    assert progress.tasks[0].completed == 80
    assert Rate().render(progress.tasks[0]).plain == ""
    bar.advance(5, "loss 1")
    assert progress.tasks[0].completed == 85


def test_a_terminal_gets_a_bar() -> None:
    written = io.StringIO()
    with display(Console(file=written, force_terminal=True), "detecting", 2, "images") as shown:
        shown.line("a line")
        shown.advance(2, "fine")
    assert "a line" in written.getvalue()
    assert "detecting" in written.getvalue()
