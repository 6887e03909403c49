"""tools/timed_commands.py: finished commands are not repeated, outputs of another command are refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from detect.errors import RunError, UserError
from tools.timed_commands import run_timed

Commands = list[list[str]]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The commands that were run. Each writes its last argument; ``fail`` ends with 1, ``long`` takes a while."""
    commands: Commands = []

    class Process:
        def __init__(self, command: list[str]) -> None:
            commands.append(command[3:])
            self.returncode, self.timeouts_left = int("fail" in command), 2 * ("long" in command)
            output = Path(command[-1])
            if self.returncode == 0 and output.suffix:
                output.write_text("text")
            elif not output.suffix:
                output.mkdir(exist_ok=True)
                (output / "config.yaml").touch()

        def wait(self, timeout: float) -> int:
            if self.timeouts_left:
                self.timeouts_left -= 1
                raise subprocess.TimeoutExpired("detect", timeout)
            return self.returncode

    monkeypatch.setattr(subprocess, "Popen", Process)
    return commands


def test_run_timed_repeats_a_command_only_if_its_output_is_gone(commands: Commands, tmp_path: Path) -> None:
    output = tmp_path / "p.npz"
    for _ in range(2):
        run_timed(tmp_path, "search", ["make", output], output)
    assert len(commands) == 1
    output.unlink()
    run_timed(tmp_path, "search", ["make", output], output)
    assert len(commands) == 2


@pytest.mark.usefixtures("commands")
def test_run_timed_waits_for_a_long_command_and_adds_nothing_to_a_short_one(tmp_path: Path) -> None:
    for name in ("short", "long"):
        output = tmp_path / f"{name}.npz"
        assert run_timed(tmp_path, name, ["make", name, output], output) < 0.5
        assert json.loads((tmp_path / "seconds" / f"{name}.json").read_text())["done"]


def test_run_timed_refuses_the_output_of_another_command_until_it_is_removed(
    commands: Commands, tmp_path: Path
) -> None:
    output = tmp_path / "p.npz"
    run_timed(tmp_path, "search", ["make", output], output)
    with pytest.raises(
        UserError, match=r"p\.npz: expected no file, or the output of this command, found that of another"
    ):
        run_timed(tmp_path, "search", ["make", "--set", "x=1", output], output)
    output.unlink()
    run_timed(tmp_path, "search", ["make", "--set", "x=1", output], output)
    assert commands == [["make", str(output)], ["make", "--set", "x=1", str(output)]]


def test_run_timed_resumes_a_failed_run_and_adds_its_seconds(commands: Commands, tmp_path: Path) -> None:
    run = tmp_path / "rcnn"
    with pytest.raises(RunError, match="rcnn training: expected the command above to succeed"):
        run_timed(tmp_path, "rcnn training", ["train", "fail", run], run)
    file = tmp_path / "seconds" / "rcnn-training.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": 100.0}))
    assert run_timed(tmp_path, "rcnn training", ["train", "fail", run], run) >= 100
    assert commands[1] == ["train", "--resume", str(run)]
