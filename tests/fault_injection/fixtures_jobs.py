"""Four kinds of long jobs, each as commands, and their results, which must not depend on an interruption."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml

from detect.checkpoints.checkpoint import load_checkpoint
from tests.conftest import TINY
from tests.fault_injection.command_client import Commands, Finished
from tests.fault_injection.file_faults import Fault

Arguments = Sequence[object]


@dataclass(frozen=True)
class Job:
    """A long job.

    start, resume: return the command that starts or resumes it with its results in a folder; result: reads the results,
    which must not depend on an interruption.
    """

    start: Callable[[Path], Arguments]
    resume: Callable[[Path], Arguments]
    result: Callable[[Path], Any]

    def run_again(self, commands: Commands, folder: Path) -> Finished:
        """Resume the job after a kill as a user does, with the first command if the run had not started yet."""
        begun = (folder / "config.yaml").is_file()
        return commands(*(self.resume(folder) if begun else self.start(folder)))


def settings(root: Path, **changes: Any) -> dict[str, Any]:
    """Return the settings of a training of a second; changes: values to change in its sections."""
    content: dict[str, Any] = copy.deepcopy(TINY)
    content["data"] |= {"root": str(root), "train_images": 4, "val_images": 2, "min_size": 64, "max_size": 96}
    content["train"] |= {"steps": 4, "batch_size": 2, "checkpoint_every": 1, "log_every": 1}
    content["model"]["backbone"]["neck_channels"] = 8
    for section, values in changes.items():
        content[section] |= values
    return content


def joint(root: Path, folder: Path) -> Job:
    return _training(settings(root), folder / "joint.yaml", ("last.pt", "best.pt"), ())


def rcnn(root: Path, folder: Path) -> Job:
    model = {
        "kind": "rcnn",
        "proposals": "selective_search",
        "search": {"train_top_n": 30, "test_top_n": 30},
        "crop": {"size": 16, "context": 2},
        "head": {"type": "fc", "fc_dim": 8, "pool_size": 2},
    }
    train = {"steps": 2, "ema_decay": 0.0}
    content = settings(root, train=train)
    content["model"] = {"backbone": content["model"]["backbone"]} | model
    weights = ("network/last.pt", "network/best.pt", "last.pt", "best.pt")
    return _training(
        content, folder / "rcnn.yaml", weights, ("proposals.npz", "regions.npz", "svms.npz", "regressors.npz")
    )


def proposals(images: Path) -> Job:
    def make(folder: Path) -> Arguments:
        return ["proposals", "make", images, "--out", folder / "found.npz", "--workers", 1]

    return Job(make, make, lambda folder: (folder / "found.npz").read_bytes())


def prediction(model: Path, images: Path) -> Job:
    def predict(folder: Path) -> Arguments:
        options = ["--batch-size", 2, "--workers", 0, "--score", 0.01, "--precision", "fp32"]
        options += ["--format", "csv", "--format", "images"]
        return ["predict", model, images, "--out", folder, *options]

    return Job(predict, predict, _bytes_below)


def _training(content: dict[str, Any], config: Path, checkpoints: Sequence[str], arrays: Sequence[str]) -> Job:
    config.write_text(yaml.safe_dump(content), "utf-8")

    def begin(folder: Path) -> Arguments:
        return ["train", "--config", config, "--out", folder]

    def again(folder: Path) -> Arguments:
        return ["train", "--resume", folder]

    return Job(begin, again, partial(_trained, checkpoints=checkpoints, arrays=arrays))


def _trained(folder: Path, checkpoints: Sequence[str], arrays: Sequence[str]) -> Any:
    """Return everything in the checkpoints and the arrays, and the metrics without their times."""
    with (folder / "metrics.csv").open(encoding="utf-8") as stream:
        rows = [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in csv.DictReader(stream)]
    contents: dict[str, Any] = {name: torch.load(folder / name, weights_only=True) for name in checkpoints}
    return contents | {name: arrays_in(folder / name) for name in arrays} | {"metrics.csv": rows}


def arrays_in(file: Path) -> dict[str, np.ndarray]:
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        return dict(stored)


def _bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _require_image(file: Path) -> None:
    if cv2.imread(str(file)) is None:
        raise ValueError("not an image")


READERS: dict[str, Callable[[Path], object]] = {
    ".pt": load_checkpoint,
    ".npz": arrays_in,
    ".json": lambda file: json.loads(file.read_text("utf-8")),
    ".yaml": lambda file: yaml.safe_load(file.read_text("utf-8")),
    ".csv": lambda file: file.read_text("utf-8"),
    ".txt": lambda file: file.read_text("utf-8"),
    ".jpg": _require_image,
    ".png": _require_image,
}


def unreadable(folder: Path) -> list[str]:
    """Return a line for each visible file in the folder that cannot be read."""
    problems = []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith(".") and file.suffix in READERS:
            try:
                READERS[file.suffix](file)
            except Exception as error:
                problems.append(f"{file}: {error}")
    return problems


def run_undisturbed(job: Job, commands: Commands, folder: Path) -> list[str]:
    """Run a job undisturbed and return its file operations, in order."""
    log = folder.with_name(f"{folder.name}.operations")
    commands.run_ok(*job.start(folder), fault=Fault(str(folder), log=str(log)))
    return log.read_text("utf-8").splitlines()
