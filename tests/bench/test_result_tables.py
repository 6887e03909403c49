from __future__ import annotations

import pytest

from detect.bench.result_tables import COMPARISON_COLUMNS, Cell, Table, comparison_rows, raw_seconds, format_cell
from detect.bench.timing import Timing

TIMINGS = {"ours": Timing((1.0, 2.0, 1.5)), "theirs": Timing((3.0, 6.0, 2.0))}


@pytest.mark.parametrize(
    ("cell", "text"), [(None, ""), ("x", "x"), (7, "7"), (0.0, "0"), (0.012345, "0.0123"), (1234.5, "1234")]
)
def test_cells_say_three_digits(cell: Cell, text: str) -> None:
    assert format_cell(cell) == text


def test_contenders_are_compared_with_one_of_them() -> None:
    assert comparison_rows(TIMINGS, "ours") == (("ours", 1.5, 1.0, 2.0, "1.00"), ("theirs", 3.0, 2.0, 6.0, "2.00"))


def test_a_table_as_text_and_as_data() -> None:
    table = Table("Speed", "run it", COMPARISON_COLUMNS, comparison_rows(TIMINGS, "ours"), ("a remark",), raw_seconds(TIMINGS))
    assert table.markdown().splitlines() == [
        "## Speed",
        "",
        "    run it",
        "",
        "| contender | median s | quickest s | slowest s | times as long |",
        "| --- | --- | --- | --- | --- |",
        "| ours | 1.5 | 1 | 2 | 1.00 |",
        "| theirs | 3 | 2 | 6 | 2.00 |",
        "",
        "- a remark",
    ]
    plain = table.to_dict()
    assert plain["rows"][1]["times as long"] == "2.00"
    assert plain["seconds"]["theirs"] == [3.0, 6.0, 2.0]


def test_a_table_without_rows() -> None:
    table = Table("Nothing", "run it", ("a",), ())
    assert table.markdown().splitlines()[-2:] == ["| a |", "| --- |"]
    assert table.to_dict()["rows"] == []
