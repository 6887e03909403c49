from __future__ import annotations

from pathlib import Path

import pytest

from detect.data.findings import DatasetFinding
from detect.data.inspect.format_findings import format_findings


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("", "object 1: RBC"),
        ("HERE/cells/a.xml", "cells/a.xml: object 1: RBC"),
        ("cells/a.xml", "cells/a.xml: object 1: RBC"),
        ("/elsewhere/a.xml", "/elsewhere/a.xml: object 1: RBC"),
    ],
)
def test_files_are_named_from_the_working_folder(
    file: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    finding = DatasetFinding("no-extent", file.replace("HERE", str(tmp_path)), "object 1", "RBC")
    assert format_findings([finding])[1:] == [f"    {shown}"]


def test_no_findings_have_no_lines() -> None:
    assert format_findings([]) == []
