"""Commands of `detect` that a comparison runs once: timed, and resumed after an interruption."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detect.errors import RunError, UserError
from detect.system.files import write_text


def set_options(settings: Sequence[str]) -> list[str]:
    """Return the settings as options of the command line."""
    return [part for setting in settings for part in ("--set", setting)]


def run_timed(out: Path, name: str, command: Sequence[str | Path], output: Path) -> float:
    """Run a `detect` command unless it has finished before; return the seconds that it took in all attempts together.

    output: the file or run folder that it writes; an interrupted run is resumed. Raise UserError if ``output`` was
    written by another command, RunError if the command fails.
    """
    file, arguments = out / "seconds" / f"{name.replace(' ', '-')}.json", [str(part) for part in command]
    file.parent.mkdir(exist_ok=True)
    entry: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    if output.exists() and entry.get("command") != arguments:
        raise UserError(
            f"{output}: expected no file, or the output of this command, found that of another one; remove it first"
        )
    if entry.get("command") != arguments or (entry["done"] and not output.exists()):
        entry = {"command": arguments, "seconds": 0.0, "done": False}
    if entry["done"]:
        return float(entry["seconds"])
    if (output / "config.yaml").exists():
        command = ["train", "--resume", output]
    _write_entry(file, entry)  # before the command: its output is known to be its own
    print("detect " + " ".join(map(str, command)), flush=True)
    process = subprocess.Popen([sys.executable, "-m", "detect", *map(str, command)])
    before, start = float(entry["seconds"]), time.perf_counter()
    while (seconds := _wait(process, start)) is None:
        _write_entry(file, {**entry, "seconds": before + time.perf_counter() - start})
    if process.returncode != 0:
        raise RunError(f"{name}: expected the command above to succeed, found exit status {process.returncode}")
    seconds += before
    _write_entry(file, {**entry, "seconds": seconds, "done": True})
    return seconds


def _wait(process: subprocess.Popen[bytes], start: float) -> float | None:
    """Return the seconds from ``start`` to the end of the process; None if it goes on for another second."""
    try:
        process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return None
    return time.perf_counter() - start


def _write_entry(file: Path, entry: dict[str, Any]) -> None:
    """Write what is known of a command, in a file of its own, so that commands can run side by side."""
    write_text(file, json.dumps(entry, indent=1) + "\n")
