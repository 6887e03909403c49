"""A search cut off, or its journal damaged, goes on to the same bytes and loses only what was under way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.proposals.search_dataset import SearchSettings
from tests.proposals.fakes import NAMES, Maker, photograph

ROOT = Path(__file__).resolve().parents[2]


def cut_record(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-1])


def damaged_record(journal: Path) -> None:
    content = bytearray(journal.read_bytes())
    content[-5] ^= 1
    journal.write_bytes(content)


def cut_header(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:9])


def half_a_head(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes() + b"\x01\x02\x03")


def count_without_boxes(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes() + b"\xff" * 40)


@pytest.mark.parametrize("done", [0, 1, 5, 8])
@pytest.mark.parametrize(
    ("harm", "lost"),
    [
        (lambda journal: None, 0),  # noqa: ARG005
        (cut_record, 1),
        (damaged_record, 1),
        (cut_header, 9),
        (half_a_head, 0),
        (count_without_boxes, 0),
    ],
)
@pytest.mark.parametrize("resize_to", [None, 500])
def test_a_run_cut_off_goes_on_to_the_same_bytes(
    done: int, harm: Callable[[Path], None], lost: int, resize_to: int | None, make: Maker, tmp_path: Path
) -> None:
    images = photograph(tmp_path / "photos", NAMES)
    settings = SearchSettings(resize_to=resize_to)
    make(images, tmp_path / "whole.npz", settings)
    out, journal = tmp_path / "cut.npz", tmp_path / ".cut.npz.unfinished"
    with pytest.raises(ZeroDivisionError) as caught:
        make(images, out, settings, workers=1, stop_before=done)
    assert "while searching" in caught.value.__notes__[0]
    assert not out.exists()
    assert journal.exists() == (done > 0)
    if done:
        harm(journal)
    made, searched = make(images, out, settings)
    kept = max(0, done - lost)
    assert (made.before, searched) == (kept, len(images) - kept)
    assert out.read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not journal.exists()


@pytest.mark.parametrize("harm", [cut_record, damaged_record, half_a_head, count_without_boxes])
def test_what_is_done_after_a_damage_outlives_the_next_cut(
    harm: Callable[[Path], None], make: Maker, tmp_path: Path
) -> None:
    images = photograph(tmp_path / "photos", NAMES)
    for done in (2, 3):
        with pytest.raises(ZeroDivisionError):
            make(images, tmp_path / "p.npz", workers=1, stop_before=done)
        if done == 2:
            harm(tmp_path / ".p.npz.unfinished")
    kept = 5 if harm in (half_a_head, count_without_boxes) else 4
    assert make(images, tmp_path / "p.npz")[1] == len(images) - kept


KILLED = """
import sys, time
from pathlib import Path
from detect.proposals import search_dataset as make
from tests.proposals.fakes import FakeSearch, Watched
fake = FakeSearch()
def slow(*arguments, **settings):
    time.sleep(0.1)
    return fake(*arguments, **settings)
make.selective_search = slow
images = sorted(Path(sys.argv[1]).iterdir())
make.make_proposals(images, Path(sys.argv[2]), make.SearchSettings(), 2, Watched())
"""


def test_a_killed_process_loses_only_what_was_under_way(make: Maker, tmp_path: Path) -> None:
    images = sorted(photograph(tmp_path / "photos", [f"{number}.png" for number in range(100)]))
    make(images, tmp_path / "whole.npz")
    out, journal = tmp_path / "cut.npz", tmp_path / ".cut.npz.unfinished"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path / "photos", out], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 400):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    made, searched = make(images, out)
    assert 0 < made.before < len(images)
    assert searched == len(images) - made.before
    assert out.read_bytes() == (tmp_path / "whole.npz").read_bytes()
