"""Mistakes of new users that need no model, and errors that end a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import torch
import yaml

from detect.cli.exit_status import run_command
from detect.training.state import TrainState
from detect.training.update import Update, update_weights
from tests.conftest import TINY, Command

WRONG_USAGE = [
    (("train",), "expected one of --config FILE, --data ROOT, --resume RUN_DIR and --replay FILE, found none"),
    (("train", "--config", "faster_rcnn", "--data", "{tmp}"), "and --replay FILE, found --config and --data"),
    (
        ("train", "--data", "{tmp}/foldr"),
        'expected a folder of labelled images, found nothing (did you mean "folder"?)',
    ),
    (("train", "--data", "{tmp}/file"), "file: expected a folder of labelled images, found a file"),
    (("train", "--data", "{tmp}/folder"), "folder"),
    (("train", "--data", "{tmp}/folder", "--device", "mps"), "'mps' is not one of"),
    (
        ("train", "--config", "faster_rcnn", "--set", "device=mps"),
        "device: expected auto, cpu or cuda: Apple's GPUs are not supported, auto takes the CPU there, found 'mps'",
    ),
    (("train", "--config", "faster_rcnn", "--resume", "{tmp}"), "and --replay FILE, found --config and --resume"),
    (
        ("train", "--config", "{tmp}/faster_rcn"),
        "expected a configuration file, found nothing; built-in ones: cascade_rcnn",
    ),
    (("train", "--config", "faster_rcn"), '(did you mean "faster_rcnn"?)'),
    (("train", "--config", "faster_rcnn_mobilenet_v2"), '(did you mean "voc07/faster_rcnn_mobilenet_v2"?)'),
    (
        ("train", "--config", "faster_rcnn", "--set", "seed=99999999999999999999"),
        "faster_rcnn: seed: expected a whole number of 64 bits, found 99999999999999999999",
    ),
    (("train", "--config", "faster_rcnn", "--set", "model=3"), "model: expected keys and values, found 3"),
    (("train", "--config", "faster_rcnn", "--out", "{tmp}/file"), "file: expected a folder to write in, found a file"),
    (("train", "--config", "faster_rcnn", "--out", "{tmp}/file/x/y"), "found the file {tmp}/file in the way"),
    (("train", "--config", "faster_rcnn", "--precision", "fp61"), '(did you mean "fp16"?)'),
    (("train", "--resume", "{tmp}/foldr"), '(did you mean "folder"?)'),
    (("train", "--resume", "{tmp}/file"), "file: expected a run folder, found a file"),
    (("train", "--resume", "{tmp}/two\nlines"), "two lines: expected a run folder, found nothing"),
    (("predict", "m", "{tmp}/photo.jpg", "--out", "{tmp}/file"), "file: expected a folder to write in, found a file"),
    (("predict", "m", "{tmp}/photo.jpg", "--out", "{tmp}/file/x"), "found the file {tmp}/file in the way"),
    (("predict", "m", "{tmp}/photo.jpg", "--out", "{tmp}/o", "--format", "jsn"), '(did you mean "json"?)'),
    (("predict", "m", "{tmp}/ph\noto.jpg", "--out", "{tmp}/o", "--format", "voc"), "expected names on one line, found"),
    (("eval", "m", "--json", "{tmp}/folder"), "folder: expected a file to write, found a folder"),
    (("eval", "m", "--save", "{tmp}/file/x.json"), "file: expected a folder to write in, found a file"),
    (("model", "summary", "--config", "faster_rcnn", "--json", "{tmp}/folder"), "expected a file to write, found a f"),
    (("config", "copy", "faster_rcnn", "{tmp}/file/x.yaml"), "file: expected a folder to write in, found a file"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_USAGE)
def test_wrong_usage_prints_one_line_and_writes_nothing(
    arguments: tuple[str, ...], message: str, tmp_path: Path, detect_command: Command
) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("file", "photo.jpg", "ph\noto.jpg"):
        (tmp_path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    status, _, err = detect_command(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert status == 2
    assert message.format(tmp=tmp_path) in err
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_help_names_the_command_detect(detect_command: Command) -> None:
    assert detect_command("train", "--help")[1].startswith("Usage: detect train")
    assert detect_command("train", "--confg", "x")[2].startswith("detect train: ")


def test_os_error_prints_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def write_to_full_disk() -> None:
        raise OSError(28, "No space left on device", "/disk/log.txt")

    monkeypatch.setattr("sys.argv", ["tool"])
    with pytest.raises(SystemExit) as stop:
        run_command(write_to_full_disk, "tool")
    assert stop.value.code == 1
    assert capsys.readouterr().err == "tool: /disk/log.txt: No space left on device\n"


OUT_OF_MEMORY = {
    "gpu": (
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB."
        ),
        "CUDA out of memory. Tried to allocate 2.00 GiB",
    ),
    "worker": (
        RuntimeError(
            "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File"
            "\nRuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
            "you tried to allocate 4096 bytes. Error code 12 (Cannot allocate memory)\n"
        ),
        "can't allocate memory: you tried to allocate 4096 bytes",
    ),
    "windows": (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:81] data. DefaultCPUAllocator: not enough memory: you tried to "
            "allocate 512 bytes."
        ),
        "not enough memory: you tried to allocate 512 bytes",
    ),
    "python": (MemoryError(), "no more memory on this machine"),
}


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("-x", ""),
        ("-lead.png", " (the file of this name: ./-lead.png)"),
        ("--lead.png", " (the file of this name: ./--lead.png)"),
        ("-l", ""),
        ("-other.png", ""),
    ],
)
def test_a_file_whose_name_begins_with_a_dash_is_taken_for_an_option_and_named(
    argument: str, hint: str, tmp_path: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-lead.png", "--lead.png"):
        (tmp_path / name).touch()
    status, out, err = detect_command("predict", "m", argument, "--out", "out")
    assert (status, out) == (2, "")
    assert err.startswith("detect predict: No such option")
    assert err.endswith(f"{hint}\n")
    assert ("./" in err) is bool(hint)


@pytest.mark.parametrize("case", OUT_OF_MEMORY)
def test_out_of_memory_prints_one_line_with_the_settings_to_lower(
    case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error, found = OUT_OF_MEMORY[case]

    @click.command()
    @click.option("--debug", is_flag=True, expose_value=False)
    def fill_memory() -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["tool"])
    with pytest.raises(SystemExit) as stop:
        run_command(fill_memory, "tool")
    assert stop.value.code == 1
    assert capsys.readouterr().err == (
        f"tool: memory: expected enough for a batch, found {found}; lower train.batch_size (or --batch-size) or "
        "data.min_size\n"
    )
    monkeypatch.setattr("sys.argv", ["tool", "--debug"])
    with pytest.raises(type(error)):
        run_command(fill_memory, "tool")


@pytest.mark.slow
def test_train_resumes_after_a_killed_worker(
    tmp_path: Path, shapes_root: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detect.training import loop

    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")

    def update_or_die(learner: TrainState, *arguments: Any) -> Update | None:
        if learner.progress.step == 3:  # where torch's handler of SIGCHLD may well raise
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
        return update_weights(learner, *arguments)

    monkeypatch.setattr(loop, "update_weights", update_or_die)
    flags = ["--set", f"data.root={shapes_root}", "--out", tmp_path / "run"]
    status, _, err = detect_command("train", "--config", tmp_path / "tiny.yaml", *flags)
    assert (status, len(err.splitlines())) == (1, 1)
    assert "killed by signal: Killed; if memory is short, lower data.workers" in err
    assert f"resume with: detect train --resume {tmp_path / 'run'}" in err
    monkeypatch.setattr(loop, "update_weights", update_weights)
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] == 3
    assert detect_command("train", "--resume", tmp_path / "run")[0] == 0


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("~", "/home/me"),
        ("~/a*", "/home/me/a*"),
        ("--out=~/a", "--out=/home/me/a"),
        ("a/~/b", "a/~/b"),
        ("~b/c", "~b/c"),
        ("--set=data.root=~/a", "--set=data.root=~/a"),  # the setting expands it
    ],
)
def test_home_is_expanded_in_arguments(argument: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr("sys.argv", ["detect", "--", argument] if argument.startswith("-") else ["detect", argument])
    received: list[str] = []
    command = click.Command(
        "detect", params=[click.Argument(["argument"])], callback=lambda argument: received.append(argument)
    )
    with pytest.raises(SystemExit):
        run_command(command, "detect")
    assert received == [expected]
