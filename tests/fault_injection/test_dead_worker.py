"""A process that reads images is ended by the system: each command says in one line at which file, and stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from torch.utils.data import get_worker_info

from detect.data.images import read_image
from tests.conftest import Command
from tests.fault_injection.command_client import Commands
from tests.fault_injection.fixtures_jobs import settings

COMMANDS = {
    "train": "train --config {config} --set data.workers=1 --out {out}",
    "eval": "eval {model} --split train --set data.workers=1",
    "predict": "predict {model} {images} --workers 1 --out {out}",
    "proposals make": "proposals make --model {model} --split train --set data.workers=1 --out {out}.npz",
    "proposals recall": "proposals recall --model {model} --split train --set data.workers=1",
}


@pytest.fixture(scope="module")
def paths(shapes_root: Path, commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A configuration, its model, and the images that it was trained on."""
    folder = tmp_path_factory.mktemp("dead")
    config, model = folder / "tiny.yaml", folder / "model"
    config.write_text(yaml.safe_dump(settings(shapes_root)), "utf-8")
    commands.run_ok("train", "--config", config, "--out", model)
    (images,) = shapes_root.glob("*4x2/train")
    return {"config": config, "model": model, "images": images}


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_worker_names_the_file_in_one_line(
    name: str,
    paths: dict[str, Path],
    tmp_path: Path,
    detect_command: Command,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    victim = sorted(paths["images"].iterdir())[2]

    def deadly(file: str) -> np.ndarray:
        if get_worker_info() is not None and Path(file) == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        return read_image(file)

    monkeypatch.setattr("detect.data.loading.loader.read_image", deadly)
    command = [word.format(out=tmp_path / "out", **paths) for word in COMMANDS[name].split()]
    status, _, err = detect_command(*command)
    assert (status, len(err.splitlines())) == (1, 1), err
    assert f"found one ended by the system while it was reading {victim}: worker (pid" in err
    record_property("workers killed", 1)
