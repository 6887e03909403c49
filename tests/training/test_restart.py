"""Which run the processes resume that torchrun starts again."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.config import Config
from detect.system.distributed import SINGLE_PROCESS
from detect.training.restart import find_run_of_launch, launch_identity
from detect.training.run_folder import RunFolder


def begin(folder: Path, config: Config) -> None:
    RunFolder.create(folder, config, ["detect", "train"], None, launch_identity(config))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/a-2, begun by the job 7; runs/a-1 is of another one."""
    monkeypatch.chdir(tmp_path)
    for number, job in ((1, "6"), (2, "7")):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", job)
        begin(Path("runs") / f"a-{number}", Config())
    return Path("runs") / "a-2"


@pytest.mark.parametrize("out", ["runs/a-2", None])
@pytest.mark.parametrize(
    ("job", "seed", "is_found"),
    [(None, 0, False), ("none", 0, False), ("8", 0, False), ("7", 1, False), ("7", 0, True)],
)
def test_run_of_the_same_job_and_settings_is_resumed(
    job: str | None, seed: int, is_found: bool, out: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    if job is not None:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", job)
    config = Config().model_copy(update={"seed": seed})
    found = find_run_of_launch(config, None if out is None else Path(out), "a", SINGLE_PROCESS)
    assert found == (folder if is_found else None)


def test_without_runs_there_is_none_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    for out in (None, Path("new")):
        assert find_run_of_launch(Config(), out, "a", SINGLE_PROCESS) is None
    begin(Path("new"), Config())
    Path("new/config.yaml").unlink()
    assert find_run_of_launch(Config(), Path("new"), "a", SINGLE_PROCESS) is None
