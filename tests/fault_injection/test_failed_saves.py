"""A save that fails at any of its operations, however, leaves a checkpoint that loads: the earlier one or the new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detect.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from detect.errors import RunError
from tests.checkpoints.test_checkpoint import checkpoint
from tests.fault_injection import fixtures_jobs as jobs
from tests.fault_injection.command_client import Commands, differences
from tests.fault_injection.file_faults import FAILURES, Fault, Kind, inject
from tests.fault_injection.fixtures_jobs import run_undisturbed, unreadable

OPERATIONS = 5  # of a save: write, flush, sync of the file, rename, sync of the folder


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("operation", range(1, OPERATIONS + 2))
def test_failed_save_leaves_a_loadable_checkpoint(
    operation: int,
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    file, before, after = tmp_path / "last.pt", checkpoint(), checkpoint()
    save_checkpoint(before, file)
    with monkeypatch.context() as patched:
        injector = inject(Fault(str(tmp_path), operation, kind), patched.setattr)
        if operation > OPERATIONS:
            save_checkpoint(after, file)
        else:
            with pytest.raises(RunError, match=r"last.pt: expected to write \d+ bytes, found: "):
                save_checkpoint(after, file)
    assert injector.num_operations >= min(operation, OPERATIONS)
    loaded = load_checkpoint(file).weights
    renamed = operation >= OPERATIONS or (
        kind == "full disk" and operation > 3
    )  # the rename was done before the failure
    expected = after if renamed else before
    assert torch.equal(loaded["a"], expected.weights["a"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]
    record_property("failed operations", int(operation <= OPERATIONS))


MARKS = [*[[pytest.mark.slow]] * 5, *[[pytest.mark.long]] * 7]  # the first five have every kind of failure
TRIALS = [pytest.param(trial, marks=marks) for trial, marks in enumerate(MARKS)]


@pytest.mark.parametrize("trial", TRIALS)
def test_run_with_failed_writes_prints_one_line_and_resumes(
    trial: int,
    commands: Commands,
    shapes_root: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    job = jobs.joint(shapes_root, tmp_path)
    operations = run_undisturbed(job, commands, tmp_path / "whole")
    part = (5 * trial + 5) % len(TRIALS)  # of the run: in its middle first
    operation, kind = 1 + part * len(operations) // len(TRIALS), FAILURES[(trial + 3) % len(FAILURES)]
    folder = tmp_path / "run"
    failed = commands(*job.start(folder), fault=Fault(str(folder), operation, kind))
    record_property("failed operations", 1)
    assert failed.statuses == [1], failed.text
    assert "Traceback" not in failed.text
    assert failed.text.splitlines()[-1].startswith("detect")
    lost = unreadable(folder)
    record_property("lost files", len(lost))
    assert lost == []
    again = job.run_again(commands, folder)
    assert again.statuses == [0], again.text
    wrong = differences(job.result(folder), job.result(tmp_path / "whole"))
    record_property("wrong answers", len(wrong))
    assert wrong == []
