"""The folder that explains a run: settings, metrics, log, checkpoints, pictures."""

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

from detect.config import Config
from detect.config.files import to_yaml
from detect.errors import UserError
from detect.system.files import append_text, is_leftover, read_json_file, remove_leftovers, whole_lines, write_text

PACKAGES = ("detect-rcnn", "torch", "torchvision", "albumentations", "opencv-python-headless", "pycocotools", "numpy")


class RunFolder:
    """One run's files; made new for every run, or opened again to resume it."""

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
    def create(path: Path, config: Config, command: Sequence[str]) -> RunFolder:
        """A new folder, settings written first. UserError where something is there already: runs are never mixed."""
        if path.exists() and (not path.is_dir() or not all(map(is_leftover, path.iterdir()))):
            raise UserError(
                f"{path}: expected a new or empty folder for --out, found files (to go on: --resume {path})"
            )
        remove_leftovers(path)
        return RunFolder.begun(path, config, command)

    @staticmethod
    def begun(path: Path, config: Config, command: Sequence[str]) -> RunFolder:
        """The folder with its settings and environment written, whatever else is in it."""
        run = RunFolder(path)
        write_text(run.config_file, to_yaml(config))
        write_text(run.environment_file, json.dumps(environment(command), indent=1) + "\n")
        return run

    @property
    def whole(self) -> Path | None:
        """The folder of the run that this one is a stage of: what began it says how the whole goes on. None if none."""
        file = self.environment_file
        command = read_json_file(file, "the run's environment")["command"] if file.is_file() else []
        return Path(os.path.normpath(self.path / "..")) if "--resume" in command else None

    @staticmethod
    def numbered(name: str, below: Path = Path("runs")) -> Path:
        """``runs/<name>-<n>`` with the first free n."""
        number = 1
        while (below / f"{name}-{number}").exists():
            number += 1
        return below / f"{name}-{number}"

    def log(self, line: str) -> None:
        """Append to log.txt. Raises WorkError."""
        append_text(self.log_file, line + "\n")

    def add_metrics(self, row: Mapping[str, float | int | None]) -> None:
        """Append a row to metrics.csv; the file gets a column for a name that is new. Raises WorkError."""
        known = self._header()
        names = [*known, *(name for name in row if name not in known)]
        values = ["" if row.get(name) is None else _text(row[name]) for name in names]
        if names == known:
            append_text(self.metrics, _csv([values]))
            return
        earlier = list(csv.reader(whole_lines(self.metrics)))[1:]
        padded = [[*cells, *[""] * (len(names) - len(cells))] for cells in earlier]
        write_text(self.metrics, _csv([names, *padded, values]))

    def forget_after(self, step: int) -> None:
        """Remove the rows of metrics.csv that a resumed run will write again, and what a kill left of others."""
        if not self.metrics.exists():
            return
        rows = csv.reader(whole_lines(self.metrics))
        header = next(rows, [])
        kept = [row for row in rows if row and len(row) == len(header) and row[0].isdecimal() and int(row[0]) <= step]
        write_text(self.metrics, _csv([header, *kept] if header else []))

    def _header(self) -> list[str]:
        return next(csv.reader(whole_lines(self.metrics)), [])


class SilentFolder(RunFolder):
    """The folder as a process sees it that does not lead: what is there it may read, and it writes nothing."""

    def log(self, line: str) -> None:
        """Nothing."""

    def add_metrics(self, row: Mapping[str, float | int | None]) -> None:
        """Nothing."""

    def forget_after(self, step: int) -> None:
        """Nothing."""


def environment(command: Sequence[str]) -> dict[str, object]:
    """What a result depends on beside the settings: versions, machine, commit, command line."""
    return {
        "command": list(command),
        "commit": _commit(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with ``+`` where files differ from it; None outside a checkout."""
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


def _csv(rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


def _text(value: float | int | None) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
