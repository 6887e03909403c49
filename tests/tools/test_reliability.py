"""The page of promises: each has a test that exists, and its counts are those of the tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.reliability import BUGS, PROMISES, TestRun, Claim, read_run, claim_table

ROOT = Path(__file__).resolve().parents[2]

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a.test_b" name="test_c[1]"><properties><property name="kills" value="2"/>
<property name="lost files" value="0"/></properties></testcase>
<testcase classname="tests.a.test_b" name="test_c[2]"><properties><property name="kills" value="1"/></properties>
<failure/></testcase>
<testcase classname="tests.a.test_b" name="test_d"><skipped/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def ran(tmp_path: Path) -> list[TestRun]:
    (tmp_path / "junit.xml").write_text(JUNIT, "utf-8")
    return read_run(tmp_path / "junit.xml")


@pytest.mark.parametrize(
    ("tests", "cells"),
    [
        ((), "not run | 0 | "),
        (("tests/a/test_b.py::test_c",), "2 | 1 | kills: 3, lost files: 0"),
        (("tests/a/test_b.py::test_c[1]",), "1 | 0 | kills: 2, lost files: 0"),
        (("tests/a/test_b.py::test_d",), "0 | 0 | "),
        (("tests/other",), "not run | 0 | "),
    ],
)
def test_a_row_counts_its_own_tests(tests: tuple[str, ...], cells: str, ran: list[TestRun]) -> None:
    assert claim_table("promise", [Claim("It holds", tests)], ran)[2].endswith(f"| {cells} |")


@pytest.mark.parametrize("row", [*PROMISES, *BUGS], ids=lambda row: row.text[:30])
def test_each_row_names_tests_that_are_there(row: Claim) -> None:
    for name in row.tests:
        file, _, test = name.partition("::")
        found = [path.read_text("utf-8") for path in ROOT.glob(f"{file}*") if path.suffix == ".py"]
        assert found
        wanted = re.escape(test.partition("[")[0])
        assert any(re.search(rf"^def {wanted}", text, re.MULTILINE) for text in found) or not test
