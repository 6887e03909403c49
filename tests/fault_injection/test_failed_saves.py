"""A save that fails at any of its operations, however, leaves a checkpoint that loads: the earlier one or the new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detect.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from detect.errors import WorkError
from tests.checkpoints.test_checkpoint import checkpoint
from tests.fault_injection import jobs
from tests.fault_injection.commands import Commands, differences
from tests.fault_injection.jobs import unreadable, watched
from tests.fault_injection.planted import FAILURES, Fault, Kind, plant

OPERATIONS = 5  # of a save: write, flush, sync of the file, rename, sync of the folder


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("operation", range(1, OPERATIONS + 2))
def test_an_earlier_checkpoint_always_loads(
    operation: int,
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    file, before, after = tmp_path / "last.pt", checkpoint(), checkpoint()
    save_checkpoint(before, file)
    with monkeypatch.context() as patched:
        planted = plant(Fault(str(tmp_path), operation, kind), patched.setattr)
        if operation > OPERATIONS:
            save_checkpoint(after, file)
        else:
            with pytest.raises(WorkError, match=r"last.pt: expected to write \d+ bytes, found: "):
                save_checkpoint(after, file)
    assert planted.done >= min(operation, OPERATIONS)
    loaded = load_checkpoint(file).weights
    taken = operation >= OPERATIONS or (kind == "full disk" and operation > 3)  # the rename was done before the failure
    wanted = after if taken else before
    assert torch.equal(loaded["a"], wanted.weights["a"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]
    record_property("failed operations", int(operation <= OPERATIONS))


TRIALS = [pytest.param(trial, marks=[] if trial == 0 else [pytest.mark.slow]) for trial in range(12)]


@pytest.mark.parametrize("trial", TRIALS)
def test_a_run_whose_writes_fail_says_so_in_a_line_and_goes_on_later(
    trial: int,
    commands: Commands,
    shapes_root: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    job = jobs.joint(shapes_root, tmp_path)
    operations = watched(job, commands, tmp_path / "whole")
    part = (5 * trial + 5) % len(TRIALS)  # of the run: in its middle first
    place, kind = 1 + part * len(operations) // len(TRIALS), FAILURES[(trial + 3) % len(FAILURES)]
    folder = tmp_path / "run"
    failed = commands(*job.begin(folder), fault=Fault(str(folder), place, kind))
    record_property("failed operations", 1)
    assert failed.statuses == [1], failed.text
    assert "Traceback" not in failed.text
    assert failed.text.splitlines()[-1].startswith("detect")
    lost = unreadable(folder)
    record_property("lost files", len(lost))
    assert lost == []
    again = job.go_on(commands, folder)
    assert again.statuses == [0], again.text
    wrong = differences(job.result(folder), job.result(tmp_path / "whole"))
    record_property("wrong answers", len(wrong))
    assert wrong == []
