"""tools/reliability.py: the tests of each claim exist, and a row has their counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.reliability import TrialResult, claim_table, is_tested, read_runs
from tools.reliability_claims import BUGS, GUARANTEES, Claim

ROOT = Path(__file__).resolve().parents[2]

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a.test_b" name="test_c[1]"><properties><property name="kills" value="2"/>
<property name="lost files" value="0"/></properties></testcase>
<testcase classname="tests.a.test_b" name="test_c[2]"><properties><property name="kills" value="1"/></properties>
<failure/></testcase>
<testcase classname="tests.a.test_b" name="test_d"><skipped/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def results(tmp_path: Path) -> list[TrialResult]:
    (tmp_path / "junit.xml").write_text(JUNIT, "utf-8")
    return read_runs([tmp_path / "junit.xml"])


def test_a_test_in_two_files_counts_once(tmp_path: Path) -> None:
    for name, text in (("first", JUNIT.replace("<failure/>", "").replace("<skipped/>", "")), ("second", JUNIT)):
        (tmp_path / f"{name}.xml").write_text(text, "utf-8")
    read = read_runs([tmp_path / "first.xml", tmp_path / "second.xml"])
    assert [(result.name, result.passed) for result in read] == [
        ("tests/a/test_b.py::test_c[1]", True),
        ("tests/a/test_b.py::test_c[2]", False),
        ("tests/a/test_b.py::test_d", True),
    ]


@pytest.mark.parametrize(
    ("tests", "tested"),
    [
        (("tests/a/test_b.py::test_c",), True),
        (("tests/a/test_b.py::test_d",), False),  # skipped
        (("tests/a/test_b.py::test_c", "tests/other"), False),
    ],
)
def test_claim_is_tested_where_tests_of_each_name_ran(
    tests: tuple[str, ...], tested: bool, results: list[TrialResult]
) -> None:
    assert is_tested(Claim("It holds", tests), results) is tested


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
def test_claim_table_counts_the_tests_of_a_claim(
    tests: tuple[str, ...], cells: str, results: list[TrialResult]
) -> None:
    assert claim_table("guarantee", [Claim("It holds", tests)], results)[2].endswith(f"| {cells} |")


@pytest.mark.parametrize("claim", [*GUARANTEES, *BUGS], ids=lambda claim: claim.text[:30])
def test_claim_names_existing_tests(claim: Claim) -> None:
    for name in claim.tests:
        file, _, test = name.partition("::")
        sources = [path.read_text("utf-8") for path in ROOT.glob(f"{file}*") if path.suffix == ".py"]
        assert sources
        prefix = re.escape(test.partition("[")[0])
        assert any(re.search(rf"^def {prefix}", text, re.MULTILINE) for text in sources) or not test
