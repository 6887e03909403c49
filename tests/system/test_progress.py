from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from detect.system import progress as module
from detect.system.progress import PlainProgress, ProgressBar, RateColumn, show_progress


class Clock:
    """A clock that moves only when a test sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(module, "time", fake)
    return fake


def printed_lines(clock: Clock, advances: list[tuple[float, int]], num_before: int = 0) -> list[str]:
    """Return what a piped display of 100 images prints for ``advances``, each (time, count)."""
    output = io.StringIO()
    with show_progress(Console(file=output), "detecting", 100, "images") as progress:
        if num_before:
            progress.start_at(num_before)
        for now, count in advances:
            clock.now = now
            progress.advance(count)
    return output.getvalue().splitlines()


@pytest.mark.parametrize(
    ("advances", "num_before", "expected"),
    [
        pytest.param([], 0, [], id="nothing done"),
        pytest.param([(1, 10), (19, 10)], 0, [], id="too early for a line"),
        pytest.param([(20, 40)], 0, ["detecting: 40 of 100 images, 2 per second, 30 s left"], id="a line"),
        pytest.param(
            [(20, 40), (30, 20)],
            0,
            ["detecting: 40 of 100 images, 2 per second, 30 s left"],
            id="one line for two advances within 20 s",
        ),
        pytest.param([(25, 0)], 0, [], id="no rate without work"),
        pytest.param(
            [(20, 10)],
            80,
            [
                "detecting: 80 of 100 images were done before",
                "detecting: 90 of 100 images, 0.5 per second, 20 s left",
            ],
            id="the rate excludes an earlier run",
        ),
    ],
)
def test_plain_progress_prints_rate_and_time_left_every_20_seconds(
    clock: Clock, advances: list[tuple[float, int]], num_before: int, expected: list[str]
) -> None:
    assert printed_lines(clock, advances, num_before) == expected


def test_plain_progress_with_line_prints_only_that_line() -> None:
    output = io.StringIO()
    progress = PlainProgress(Console(file=output), "training", 10, "steps")
    progress.advance(5, "loss 1", "step 5/10")
    assert output.getvalue() == "step 5/10\n"


def test_progress_bar_start_at_sets_the_completed_count() -> None:
    progress = Progress(RateColumn(), console=Console(file=io.StringIO()))
    task = progress.add_task("detecting", total=100, note="")
    bar = ProgressBar(progress, task)
    bar.start_at(80)
    assert progress.tasks[0].completed == 80
    assert RateColumn().render(progress.tasks[0]).plain == ""
    bar.advance(5, "loss 1")
    assert progress.tasks[0].completed == 85


def test_show_progress_on_a_terminal_prints_a_bar() -> None:
    output = io.StringIO()
    with show_progress(Console(file=output, force_terminal=True), "detecting", 2, "images") as progress:
        progress.write("a line")
        progress.advance(2, "fine")
    assert "a line" in output.getvalue()
    assert "detecting" in output.getvalue()
