"""An interrupted search, or one with a damaged journal, resumes to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.proposals.selective_search.settings import SearchSettings
from tests.proposals.fake_search import IMAGE_NAMES, MakeProposals, write_random_images

ROOT = Path(__file__).resolve().parents[2]


def cut_record(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-1])


def damage_record(journal: Path) -> None:
    content = bytearray(journal.read_bytes())
    content[-5] ^= 1
    journal.write_bytes(content)


def cut_header(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:9])


def append_partial_header(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes() + b"\x01\x02\x03")


def append_record_without_boxes(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes() + b"\xff" * 40)


@pytest.mark.parametrize("num_done", [0, 1, 5, 8])
@pytest.mark.parametrize(
    ("damage", "num_lost"),
    [
        (lambda journal: None, 0),  # noqa: ARG005
        (cut_record, 1),
        (damage_record, 1),
        (cut_header, 9),
        (append_partial_header, 0),
        (append_record_without_boxes, 0),
    ],
)
@pytest.mark.parametrize("resize_to", [None, 500])
def test_make_proposals_resumed_writes_the_same_bytes(
    num_done: int,
    damage: Callable[[Path], None],
    num_lost: int,
    resize_to: int | None,
    make: MakeProposals,
    tmp_path: Path,
) -> None:
    images = write_random_images(tmp_path / "images", IMAGE_NAMES)
    settings = SearchSettings(resize_to=resize_to)
    make(images, tmp_path / "complete.npz", settings)
    out, journal = tmp_path / "cut.npz", tmp_path / ".cut.npz.unfinished"
    with pytest.raises(ZeroDivisionError) as caught:
        make(images, out, settings, workers=1, fail_at=num_done)
    assert "while searching" in caught.value.__notes__[0]
    assert not out.exists()
    assert journal.exists() == (num_done > 0)
    if num_done:
        damage(journal)
    summary, searched = make(images, out, settings)
    num_reused = max(0, num_done - num_lost)
    assert (summary.num_reused, searched) == (num_reused, len(images) - num_reused)
    assert out.read_bytes() == (tmp_path / "complete.npz").read_bytes()
    assert not journal.exists()


@pytest.mark.parametrize("damage", [cut_record, damage_record, append_partial_header, append_record_without_boxes])
def test_make_proposals_after_a_damaged_journal_keeps_later_records(
    damage: Callable[[Path], None], make: MakeProposals, tmp_path: Path
) -> None:
    images = write_random_images(tmp_path / "images", IMAGE_NAMES)
    for num_done in (2, 3):
        with pytest.raises(ZeroDivisionError):
            make(images, tmp_path / "p.npz", workers=1, fail_at=num_done)
        if num_done == 2:
            damage(tmp_path / ".p.npz.unfinished")
    num_reused = 5 if damage in (append_partial_header, append_record_without_boxes) else 4
    assert make(images, tmp_path / "p.npz")[1] == len(images) - num_reused


KILLED_SCRIPT = """
import sys, time
from pathlib import Path
from detect.proposals import search_dataset
from detect.proposals.selective_search.settings import SearchSettings
from tests.proposals.fake_search import FakeSearch, RecordingProgress
fake = FakeSearch()
def slow(*arguments, **settings):
    time.sleep(0.1)
    return fake(*arguments, **settings)
search_dataset.selective_search = slow
images = sorted(Path(sys.argv[1]).iterdir())
search_dataset.make_proposals(images, Path(sys.argv[2]), SearchSettings(), 2, RecordingProgress())
"""


@pytest.mark.slow
def test_make_proposals_after_a_kill_loses_only_images_in_progress(make: MakeProposals, tmp_path: Path) -> None:
    images = sorted(write_random_images(tmp_path / "images", [f"{i}.png" for i in range(100)]))
    make(images, tmp_path / "complete.npz")
    out, journal = tmp_path / "cut.npz", tmp_path / ".cut.npz.unfinished"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_SCRIPT, tmp_path / "images", out],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 400):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    summary, searched = make(images, out)
    assert 0 < summary.num_reused < len(images)
    assert searched == len(images) - summary.num_reused
    assert out.read_bytes() == (tmp_path / "complete.npz").read_bytes()
