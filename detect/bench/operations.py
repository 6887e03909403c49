"""Profiles which operations of torch take the time of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch.profiler import ProfilerActivity, profile

from detect.bench.result_tables import BenchmarkTable, Cell

MAX_OPERATIONS = 8  # rows of a table


def seconds_by_operation(run: Callable[[], object]) -> dict[str, float]:
    """Return the seconds of each operation in one run, without the operations that it calls."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        run()
    return {event.key.removeprefix("aten::"): event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}


def profile_table(title: str, command: str, runs: Mapping[str, Callable[[], object]]) -> BenchmarkTable:
    """Return a table of the slowest operations of the first run, with their seconds in every run."""
    seconds_of_runs = {name: seconds_by_operation(run) for name, run in runs.items()}
    first = next(iter(seconds_of_runs.values()))
    slowest = sorted(first, key=lambda operation: -first[operation])[:MAX_OPERATIONS]
    rows: list[tuple[Cell, ...]] = [
        (operation, *(seconds.get(operation, 0.0) for seconds in seconds_of_runs.values())) for operation in slowest
    ]
    others = [
        sum(seconds.values()) - sum(seconds.get(name, 0.0) for name in slowest) for seconds in seconds_of_runs.values()
    ]
    totals = [sum(seconds.values()) for seconds in seconds_of_runs.values()]
    columns = ("operation", *(f"{name}, s" for name in seconds_of_runs))
    return BenchmarkTable(title, command, columns, (*rows, ("all others", *others), ("all", *totals)))
