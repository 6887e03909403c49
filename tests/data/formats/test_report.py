from __future__ import annotations

from pathlib import Path

import pytest

from detect.data.findings import DatasetFinding
from detect.data.formats.report import LOSES_LABELS, Report, strict_report, summarize
from detect.errors import UserError

FILE = Path("set/a.xml")


@pytest.mark.parametrize("kind", sorted(LOSES_LABELS))
def test_strict_report_stops_where_labels_would_be_lost(kind: str) -> None:
    report = strict_report()
    with pytest.raises(UserError, match=r"^set/a\.xml: object 2: expected more$"):
        report(kind, FILE, "object 2", "expected more")
    with pytest.raises(UserError, match=r"^set/a\.xml: expected more$"):
        report.add_error(kind, FILE, "", UserError("set/a.xml: expected more"))
    assert report.findings == ()


def test_strict_report_collects_notes_and_other_kinds() -> None:
    report = strict_report()
    report("unlisted", FILE, "", "in no split")
    report.note("missing-image", FILE, "", "gone")
    assert [finding.kind for finding in report.findings] == ["unlisted", "missing-image"]


def test_collecting_report_has_each_fault_once() -> None:
    report = Report()
    for _ in range(2):
        report("missing-image", FILE, "", "gone")
        report.add_error("damaged-annotation", FILE, "object 2", UserError("set/a.xml: object 2: expected more"))
    assert report.findings == (
        DatasetFinding("missing-image", "set/a.xml", "", "gone"),
        DatasetFinding("damaged-annotation", "set/a.xml", "object 2", "expected more"),
    )
    assert not report.is_strict


def test_summarize_counts_each_kind_with_its_first_example() -> None:
    assert summarize([]) == []
    findings = [DatasetFinding("unlisted", f"{name}.xml", "", "in no split") for name in "ab"]
    assert summarize(findings) == ["unlisted: 2 x annotation in no split: a.xml: in no split ..."]
    assert summarize(findings[:1]) == ["unlisted: 1 x annotation in no split: a.xml: in no split"]
