"""Facts about a run from the files in its folder."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.errors import UserError
from detect.system.files import require_file
from detect.training.curves import Curves, read_curves
from detect.training.run_folder import RunFolder

_STEP_LINE = re.compile(r"step \d+/\d+ ")  # such lines are left out, the curves show them better
_MAX_LINES = 400


@dataclass(frozen=True)
class RunFacts:
    """The files of a run folder.

    path: the run's folder; settings: config.yaml as it stands; environment: rows of a name and a value; log: the lines
    of log.txt that are not about a step, the first 400; num_more_lines: how many follow; curves: the metrics.csv of the
    run ("") and of the stages in its folder, by their names; batches: the images of the first training batches.
    """

    path: Path
    settings: str
    environment: tuple[tuple[str, str], ...]
    log: tuple[str, ...]
    num_more_lines: int
    curves: dict[str, Curves]
    batches: tuple[Path, ...]


def read_run(folder: RunFolder) -> RunFacts:
    """Read the files that exist; only config.yaml must exist. Raises UserError for a damaged file."""
    path = folder.path
    settings = require_file(folder.config_file, "a run's settings").read_text(encoding="utf-8")
    log = folder.log_file.read_text(encoding="utf-8").splitlines() if folder.log_file.is_file() else []
    lines = [line for line in log if not _STEP_LINE.match(line)]
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
        log=tuple(lines[:_MAX_LINES]),
        num_more_lines=max(len(lines) - _MAX_LINES, 0),
        curves=curves,
        batches=tuple(sorted(path.glob("batch-*.jpg"))),
    )


def _environment(file: Path) -> tuple[tuple[str, str], ...]:
    """Return command, commit and versions; packages that are not installed are left out."""
    if not file.is_file():
        return ()
    try:
        facts: Any = json.loads(file.read_bytes())
    except ValueError as error:
        raise UserError(f"{file}: expected JSON, found {error}") from None
    if not isinstance(facts, dict):
        raise UserError(f"{file}: expected an object, found {type(facts).__name__}")
    command, packages = facts.get("command"), facts.get("packages")
    rows = [
        ("command", shlex.join(map(str, command)) if isinstance(command, list) else None),
        *((name, facts.get(name)) for name in ("commit", "python", "platform")),
        *(packages.items() if isinstance(packages, dict) else ()),
    ]
    return tuple((name, str(fact)) for name, fact in rows if fact is not None)
