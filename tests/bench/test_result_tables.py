from __future__ import annotations

import pytest

from detect.bench.relative_time import relative_time
from detect.bench.result_tables import (
    COMPARISON_COLUMNS,
    BenchmarkTable,
    Cell,
    comparison_rows,
    format_cell,
    raw_seconds,
)
from detect.bench.timing import Timing
from detect.evaluation.analysis.bootstrap import Interval

TIMINGS = {"ours": Timing((1.0, 2.0, 1.5)), "theirs": Timing((3.0, 6.0, 2.0))}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        ("x", "x"),
        (7, "7"),
        (0.0, "0"),
        (0.012345, "0.0123"),
        (1234.5, "1234"),
        (Interval(0.5974, 0.5512, 0.6449), "0.597 [0.551, 0.645]"),
        (Interval(0.597, 0.5955, 0.604), "0.597 [0.596, 0.604]"),
        (Interval(18.84, 9.96, 123.4), "18.8 [9.96, 123]"),
    ],
)
def test_format_cell_has_three_significant_digits(cell: Cell, text: str) -> None:
    assert format_cell(cell) == text


def test_comparison_rows_are_relative_to_the_baseline() -> None:
    ours, (*theirs, relative) = comparison_rows(TIMINGS, "ours")
    assert ours == ("ours", 1.5, 1.0, 2.0, 1.0)
    assert theirs == ["theirs", 3.0, 2.0, 6.0]
    assert relative == relative_time(TIMINGS["theirs"], TIMINGS["ours"])


def test_table_as_markdown_and_as_dict() -> None:
    table = BenchmarkTable(
        "Speed", "run it", COMPARISON_COLUMNS, comparison_rows(TIMINGS, "ours"), ("a note",), raw_seconds(TIMINGS)
    )
    assert table.to_markdown().splitlines() == [
        "## Speed",
        "",
        "    run it",
        "",
        "| variant | median s | min s | max s | relative time |",
        "| --- | --- | --- | --- | --- |",
        "| ours | 1.5 | 1 | 2 | 1 |",
        "| theirs | 3 | 2 | 6 | 2 |",
        "",
        "- a note",
    ]
    content = table.to_dict()
    assert content["rows"][1]["relative time"] == 2.0
    assert content["seconds"]["theirs"] == [3.0, 6.0, 2.0]


def test_table_without_rows_has_its_header() -> None:
    table = BenchmarkTable("Nothing", "run it", ("a",), ())
    assert table.to_markdown().splitlines()[-2:] == ["| a |", "| --- |"]
    assert table.to_dict()["rows"] == []
