"""Commands that only read: model summary, doctor, and the help of every command."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from detect.cli.main import COMMANDS, main
from detect.system import environment as environment
from detect.system.doctor import MIN_VERSIONS
from tests.conftest import Command


def test_model_summary_prints_the_numbers_of_its_json(tmp_path: Path, detect_command: Command) -> None:
    file = tmp_path / "summary.json"
    status, out, err = detect_command(
        "model", "summary", "--config", "faster_rcnn", "--json", file, "--set", "model.backbone.frozen_stages=1"
    )
    assert (status, err) == (0, "")
    written = json.loads(file.read_text(encoding="utf-8"))
    assert set(written["totals"]) == {"backbone", "proposer", "head"}
    for count in (written["whole"]["parameters"], *(total["parameters"] for total in written["totals"].values())):
        assert f"{count:,}" in out
    assert f"{written['whole']['parameters'] - written['whole']['trained']:,} frozen" in out
    assert all(layer["kind"] in out for layer in written["layers"])


NO_PROBLEMS: dict[str, dict[str, Any]] = {
    "torch": {"facts": {"gpus": ["X, 8 GiB"], "build": "13.0", "threads": 1, "hub": "/tmp/no/such/hub"}},
    **{name: {"facts": name} for name in ("torchvision", "numpy", "opencv", "pycocotools", "albumentations")},
}
BROKEN = [
    ({}, 0, "ready"),
    ({"torchvision": {"error": "no nms"}}, 1, "1 problem: torch and torchvision"),
    ({"torch": {"error": "no"}, "numpy": {"error": "no"}}, 1, "2 problems: torch, numpy"),
]


@pytest.mark.parametrize(("outputs", "expected_status", "summary"), BROKEN)
def test_doctor_ends_with_a_summary(
    outputs: dict[str, Any],
    expected_status: int,
    summary: str,
    tmp_path: Path,
    detect_command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    versions = MIN_VERSIONS | {"opencv-python-headless": "5.0"}
    monkeypatch.setattr(environment, "_run_probe", lambda: NO_PROBLEMS | outputs)
    monkeypatch.setattr(environment, "_version", lambda name: versions.get(name))
    monkeypatch.setattr(environment, "_requirements", lambda name: [f"torch=={MIN_VERSIONS['torch']}"] * bool(name))
    monkeypatch.chdir(tmp_path)
    status, out, err = detect_command("doctor")
    *lines, last = out.splitlines()
    assert (status, last, err) == (expected_status, summary, "")
    assert all(line.startswith("ok ") or "; fix: " in line for line in lines)
    assert sum(line.startswith("problem") for line in lines) == int((re.findall(r"\d+", last) or ["0"])[0])


PROBES = [
    ("raise SystemExit(3)", "its import ended the process with status 3", {}),
    ('import os; print(\'["torch", {"facts": 1}]\', flush=True); os.abort()', "with status -6", {"facts": 1}),
    ("print('chatter')", "its import ended the process with status 0", {}),
]


@pytest.mark.parametrize(("probe", "error", "torch"), PROBES)
def test_run_probe_reports_an_import_that_kills_its_process(
    probe: str, error: str, torch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "PROBE", probe)
    outputs = environment._run_probe()
    assert set(outputs) == set(NO_PROBLEMS)
    assert error in outputs["torchvision"]["error"]
    assert outputs["torch"] == (torch or outputs["torchvision"])


def commands() -> list[tuple[str, click.Command]]:
    named_commands: list[tuple[str, click.Command]] = [("detect", main)]
    for name in COMMANDS:
        command = getattr(importlib.import_module(f"detect.cli.{name}"), f"{name}_command")
        named_commands.append((f"detect {name}", command))
        if isinstance(command, click.Group):
            named_commands += [(f"detect {name} {inner}", child) for inner, child in command.commands.items()]
    return named_commands


@pytest.mark.parametrize(("path", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_help_shows_an_example_that_the_command_accepts(path: str, command: click.Command) -> None:
    example = (command.epilog or "").removeprefix("Example: ")
    assert example.startswith(path)
    words = shlex.split(example)[1:]
    group: click.Command = main
    context = click.Context(main)
    while isinstance(group, click.Group):
        subcommand = group.get_command(context, words.pop(0))
        assert subcommand is not None
        group = subcommand
    assert group.make_context(path, words).params is not None


@pytest.mark.parametrize("arguments", [(), ("config",), ("model",)])
def test_group_without_a_command_prints_its_help(arguments: tuple[str, ...], detect_command: Command) -> None:
    status, out, err = detect_command(*arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) > 5
    assert err.startswith("Usage: ")
