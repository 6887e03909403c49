"""The checks of a release: each of them can fail."""

from __future__ import annotations

import sys
from email.message import Message
from pathlib import Path

import pytest

from detect.errors import RunError
from tools.check_release import FIELDS, require_fields, require_files, run_step

WHEEL = Path("a.whl")


def make_metadata(without: str | None = None) -> Message:
    message = Message()
    for field in FIELDS:
        if field != without:
            message[field] = "a"
    return message


def test_archives_have_their_files() -> None:
    require_files(WHEEL, [], [])
    require_files(WHEEL, ["a", "b"], ["b"])
    with pytest.raises(RunError, match=r"a\.whl: expected c, found no such file"):
        require_files(WHEEL, ["a", "b"], ["b", "c"])


def test_metadata_have_their_fields() -> None:
    require_fields(WHEEL, make_metadata())
    with pytest.raises(RunError, match="expected the metadata Author, found none"):
        require_fields(WHEEL, make_metadata(without="Author"))


def test_a_failing_step_shows_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run_step([sys.executable, "-c", "import os; assert 'PYTHONPATH' not in os.environ"], tmp_path)
    with pytest.raises(RunError, match=r"expected exit status 0, found 3: why"):
        run_step([sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path)
