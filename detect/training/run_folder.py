"""The folder of a run: settings, metrics, log, checkpoints, figures."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from detect.config import ConfigModel
from detect.config.files import to_yaml
from detect.errors import UserError
from detect.system.device import describe_cuda
from detect.system.files import append_text, complete_lines, is_temp_file, read_json_file, remove_temp_files, write_text

PACKAGES = ("detect-rcnn", "torch", "torchvision", "albumentations", "opencv-python-headless", "pycocotools", "numpy")
RUNS = Path("runs")  # where runs without a folder of their own begin


class RunFolder:
    """The files of one run; the folder is created for a new run, or opened again to resume it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = path / "last.pt"
        self.best = path / "best.pt"
        self.metrics = path / "metrics.csv"
        self.log_file = path / "log.txt"
        self.config_file = path / "config.yaml"
        self.environment_file = path / "environment.json"
        self.proposals = path / "proposals.npz"

    @staticmethod
    def create(
        path: Path,
        config: ConfigModel,
        command: Sequence[str],
        data: Mapping[str, object] | None = None,
        launch: str | None = None,
    ) -> RunFolder:
        """Create the folder of a new run and write its settings, ``data_identity`` of its data, and the launch.

        launch: what ``restart.launch_identity`` returns. Raises UserError if the folder has files already: two runs
        never share a folder.
        """
        if path.exists() and (not path.is_dir() or not all(map(is_temp_file, path.iterdir()))):
            raise UserError(
                f"{path}: expected a new or empty folder for --out, found files (to resume: --resume {path})"
            )
        remove_temp_files(path)
        return RunFolder.begin(path, config, command, data, launch)

    @staticmethod
    def begin(
        path: Path,
        config: ConfigModel,
        command: Sequence[str],
        data: Mapping[str, object] | None = None,
        launch: str | None = None,
    ) -> RunFolder:
        """Write the settings and the environment of a run into the folder, whatever else is in it."""
        run = RunFolder(path)
        write_text(run.config_file, to_yaml(config))
        facts = environment(command) | ({} if data is None else {"data": data})
        facts |= {} if launch is None else {"launch": launch}
        write_text(run.environment_file, json.dumps(facts, indent=1) + "\n")
        return run

    @property
    def data(self) -> dict[str, Any]:
        """The identity of the data that ``create`` was given; empty for a run of a version that recorded none."""
        return dict(self._facts.get("data", {}))

    @property
    def launch(self) -> str | None:
        """The launch of torchrun that has begun the run, as ``restart.launch_identity`` names it; None without one."""
        name = self._facts.get("launch")
        return None if name is None else str(name)

    @property
    def parent_run(self) -> Path | None:
        """The folder of the run that this one is a stage of; None if it is a run of its own.

        A stage is recognized by the command in its environment.json, which resumes the whole run.
        """
        command = self._facts.get("command", [])
        return Path(os.path.normpath(self.path / "..")) if "--resume" in command else None

    @staticmethod
    def next_free(name: str, parent: Path = RUNS) -> Path:
        """Return ``runs/<name>-<n>`` with the first free n, counted from 1."""
        index = 1
        while (parent / f"{name}-{index}").exists():
            index += 1
        return parent / f"{name}-{index}"

    def log(self, line: str) -> None:
        """Append a line to log.txt. Raises RunError."""
        append_text(self.log_file, line + "\n")

    def add_metrics(self, row: Mapping[str, float | int | None]) -> None:
        """Append a row to metrics.csv and add a column for each new name. Raises RunError."""
        columns = self._header()
        names = [*columns, *(name for name in row if name not in columns)]
        values = ["" if row.get(name) is None else _format_cell(row[name]) for name in names]
        if names == columns:
            append_text(self.metrics, _to_csv([values]))
            return
        earlier = list(csv.reader(complete_lines(self.metrics)))[1:]
        padded = [[*cells, *[""] * (len(names) - len(cells))] for cells in earlier]
        write_text(self.metrics, _to_csv([names, *padded, values]))

    def truncate_after(self, step: int) -> None:
        """Remove the rows of metrics.csv after ``step``, which a resumed run writes again, and incomplete rows."""
        if not self.metrics.exists():
            return
        rows = csv.reader(complete_lines(self.metrics))
        header = next(rows, [])
        rows_to_keep = [
            row for row in rows if row and len(row) == len(header) and row[0].isdecimal() and int(row[0]) <= step
        ]
        write_text(self.metrics, _to_csv([header, *rows_to_keep] if header else []))

    @property
    def _facts(self) -> dict[str, Any]:
        """What environment.json says; nothing without it."""
        file = self.environment_file
        return read_json_file(file, "the run's environment") if file.is_file() else {}

    def _header(self) -> list[str]:
        return next(csv.reader(complete_lines(self.metrics)), [])


class ReadOnlyRunFolder(RunFolder):
    """The folder of a run for a process that is not the main one: it reads the files and writes nothing."""

    def log(self, line: str) -> None:
        """Do nothing: the main process writes the log."""

    def add_metrics(self, row: Mapping[str, float | int | None]) -> None:
        """Do nothing: the main process writes the metrics."""

    def truncate_after(self, step: int) -> None:
        """Do nothing: the main process removes the rows."""


def environment(command: Sequence[str]) -> dict[str, object]:
    """Return all that a result depends on besides the settings: versions, platform, GPU, commit, command line."""
    return {
        "command": list(command),
        "commit": _commit(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cuda": describe_cuda(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the checkout, with ``+`` if files differ from it; None outside a checkout."""
    here = Path(__file__).parents[2]
    if not (here / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _to_csv(rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


def _format_cell(value: float | int | None) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
