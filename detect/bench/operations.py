"""Which operations take the time of a piece of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch.profiler import ProfilerActivity, profile

from detect.bench.result_tables import Cell, Table

MAX_OPERATIONS = 8  # operations told


def seconds_by_operation(run: Callable[[], object]) -> dict[str, float]:
    """Of one run: seconds in each operation itself, without those that it calls."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run()
    return {each.key.removeprefix("aten::"): each.self_cpu_time_total / 1e6 for each in seen.key_averages()}


def profile_table(title: str, command: str, runs: Mapping[str, Callable[[], object]]) -> Table:
    """The operations that take most of the first run, in seconds, beside the same in the others."""
    found = {name: seconds_by_operation(run) for name, run in runs.items()}
    first = next(iter(found.values()))
    longest = sorted(first, key=lambda operation: -first[operation])[:MAX_OPERATIONS]
    rows: list[tuple[Cell, ...]] = [
        (operation, *(seconds.get(operation, 0.0) for seconds in found.values())) for operation in longest
    ]
    rest = [sum(seconds.values()) - sum(seconds.get(each, 0.0) for each in longest) for seconds in found.values()]
    whole = [sum(seconds.values()) for seconds in found.values()]
    columns = ("operation", *(f"{name}, s" for name in found))
    return Table(title, command, columns, (*rows, ("all others", *rest), ("all", *whole)))
