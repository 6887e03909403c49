"""What a run's folder tells of the run itself."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.errors import UserError
from detect.system.files import existing_file
from detect.training.curves import Curves, read_curves
from detect.training.run_folder import RunFolder

_OF_A_STEP = re.compile(r"step \d+/\d+ ")  # lines that the curves show better
_MOST_LINES = 400


@dataclass(frozen=True)
class RunFacts:
    """path: the run's folder; settings: config.yaml as it stands; environment: rows of a name and what it was.

    log: the lines of log.txt that tell no step, the first 400; more: how many follow; curves: the metrics.csv of the
    run ("") and of the stages in its folder, by their names; batches: the pictures of the first training batches.
    """

    path: Path
    settings: str
    environment: tuple[tuple[str, str], ...]
    log: tuple[str, ...]
    more: int
    curves: dict[str, Curves]
    batches: tuple[Path, ...]


def read_run(folder: RunFolder) -> RunFacts:
    """What is there; only config.yaml must be. Raises UserError for a file that is damaged."""
    path = folder.path
    settings = existing_file(folder.config_file, "a run's settings").read_text(encoding="utf-8")
    log = folder.log_file.read_text(encoding="utf-8").splitlines() if folder.log_file.is_file() else []
    told = [line for line in log if not _OF_A_STEP.match(line)]
    files = [folder.metrics, *sorted(path.glob("*/metrics.csv"))]
    curves = {
        "" if file.parent == path else file.parent.name: read_curves(file)
        for file in files
        if file.is_file() and file.stat().st_size
    }
    return RunFacts(
        path=path.resolve(),
        settings=settings,
        environment=_environment(path / "environment.json"),
        log=tuple(told[:_MOST_LINES]),
        more=max(len(told) - _MOST_LINES, 0),
        curves=curves,
        batches=tuple(sorted(path.glob("batch-*.jpg"))),
    )


def _environment(file: Path) -> tuple[tuple[str, str], ...]:
    """Command, commit, versions; packages that are not installed are left out."""
    if not file.is_file():
        return ()
    try:
        told: Any = json.loads(file.read_bytes())
    except ValueError as error:
        raise UserError(f"{file}: expected JSON, found {error}") from None
    if not isinstance(told, dict):
        raise UserError(f"{file}: expected an object, found {type(told).__name__}")
    command, packages = told.get("command"), told.get("packages")
    rows = [
        ("command", shlex.join(map(str, command)) if isinstance(command, list) else None),
        *((name, told.get(name)) for name in ("commit", "python", "platform")),
        *(packages.items() if isinstance(packages, dict) else ()),
    ]
    return tuple((name, str(value)) for name, value in rows if value is not None)
