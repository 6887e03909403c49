#!/usr/bin/env python3
"""Check the first minute with a detector: photos that nobody tuned on, and the seconds of a cold start.

    tools/check_first_contact.py MODEL --photos FOLDER [--runs 5] [--json FILE]

FOLDER has the ten photos of tools/first_contact_photos.csv, which names the source, the license and the SHA-256 of
each (git show COMMIT:PATH in a clone of the repository that it names). A photo is right if its class is among the
detections that score 0.5 or more; nine of ten should be. A cold `detect predict` of one photo, with all that a process
does, should take at most 1.3 times `python -c "import torch, torchvision"` and the model's own time on that photo.
Seconds are medians of runs in turn, of the clock and of the processor: only the latter hold on a busy machine.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click
import rich
from rich.box import SIMPLE_HEAD
from rich.table import Table

from detect.cli.exit_status import run_command
from detect.errors import RunError, UserError
from detect.system.files import require_file, write_text

TABLE = Path(__file__).with_name("first_contact_photos.csv")
MIN_SCORE = 0.5
MIN_RIGHT = 9
MAX_RATIO = 1.3
IMPORTS = (sys.executable, "-c", "import torch, torchvision")
PREDICT = (sys.executable, "-m", "detect", "predict")


@dataclass(frozen=True)
class Photo:
    """A row of the table: a file in the folder of photos, and the class that it shows."""

    file: Path
    label: str


@dataclass(frozen=True)
class PhotoResult:
    """The best detection of a photo and the best score of its class (0 without one), and whether it is right."""

    file: str
    label: str
    top: str
    top_score: float
    label_score: float
    right: bool


@dataclass(frozen=True)
class Seconds:
    """Seconds of the clock and of the processor."""

    clock: float
    processor: float


@click.command(help=__doc__)
@click.argument("model")
@click.option("--photos", required=True, type=click.Path(path_type=Path), help="Folder of the photos.")
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True, help="Cold starts of each kind.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the results to this file.")
def main(model: str, photos: Path, runs: int, json_file: Path | None) -> None:
    """Check the photos, then the start."""
    rows = read_table(photos)
    results = [judge(photo, detections) for photo, detections in zip(rows, _predict(model, rows), strict=True)]
    rich.print(photo_table(results))
    num_right = sum(result.right for result in results)
    print(f"{num_right} of {len(results)} photos show their class at {MIN_SCORE:g} or more")
    start = measure_start(model, rows[0].file, runs)
    own = measure_model(model, rows[0].file, runs)
    ratios = {kind: asdict(start[0])[kind] / (asdict(start[1])[kind] + asdict(own)[kind]) for kind in asdict(own)}
    for name, seconds in (("detect predict", start[0]), ("import torch, torchvision", start[1]), ("the model", own)):
        print(f"{name}: {seconds.clock:.2f} s, {seconds.processor:.2f} s of the processor")
    print(f"start: {ratios['clock']:.2f} times both by the clock, {ratios['processor']:.2f} by the processor")
    if json_file is not None:
        content = {"photos": [asdict(result) for result in results], "right": num_right, "ratios": ratios}
        write_text(json_file, json.dumps(content, indent=1) + "\n")
    sys.exit(num_right < MIN_RIGHT or ratios["processor"] > MAX_RATIO)


def read_table(folder: Path) -> list[Photo]:
    """Return the photos of the table, in ``folder``. Raises UserError for a file that is missing or another one."""
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        file = require_file(folder / row["file"], f"the photo {row['source']}")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if digest != row["sha256"]:
            raise UserError(f"{file}: expected {row['source']} with SHA-256 {row['sha256']}, found {digest}")
    return [Photo(file=folder / row["file"], label=row["class"]) for row in rows]


def judge(photo: Photo, detections: Sequence[tuple[str, float]]) -> PhotoResult:
    """Return whether the class of a photo is among its detections (class, score)."""
    top, top_score = max(detections, key=lambda detection: detection[1], default=("nothing", 0.0))
    label_score = max((score for label, score in detections if label == photo.label), default=0.0)
    return PhotoResult(
        file=photo.file.name,
        label=photo.label,
        top=top,
        top_score=top_score,
        label_score=label_score,
        right=label_score >= MIN_SCORE,
    )


def photo_table(results: Sequence[PhotoResult]) -> Table:
    """Return the results as a table."""
    table = Table(box=SIMPLE_HEAD)
    for column in ("photo", "shows", "best detection", "score", "score of its class", "right"):
        table.add_column(column)
    for result in results:
        scores = f"{result.top_score:.2f}", f"{result.label_score:.2f}"
        table.add_row(result.file, result.label, result.top, *scores, "yes" if result.right else "no")
    return table


def measure_start(model: str, photo: Path, runs: int) -> tuple[Seconds, Seconds]:
    """Return the seconds of a cold ``detect predict``, and of the imports alone, in turn after one run of each."""
    with tempfile.TemporaryDirectory() as folder:
        commands = [[*PREDICT, model, str(photo), "--out", folder], list(IMPORTS)]
        pairs = [[_timed(partial(_run, command)) for command in commands] for _ in range(runs + 1)]
    predict, imports = (_median([pair[index] for pair in pairs[1:]]) for index in range(2))
    return predict, imports


def measure_model(model: str, photo: Path, runs: int) -> Seconds:
    """Return the seconds of the model on a photo, in this process and after a first run."""
    import detect

    detector = detect.load(model)
    seconds = [_timed(lambda: detector.predict(photo)) for _ in range(runs + 1)]
    return _median(seconds[1:])


def _predict(model: str, photos: Sequence[Photo]) -> list[list[tuple[str, float]]]:
    """Return the classes and scores of the detections on each photo, from the command line as a user has it."""
    with tempfile.TemporaryDirectory() as folder:
        _run([*PREDICT, model, *(str(photo.file) for photo in photos), "--out", folder, "--score", "0.05"])
        images = json.loads((Path(folder) / "predictions.json").read_text(encoding="utf-8"))
    by_name = {Path(image["file"]).name: image["detections"] for image in images}
    return [[(each["label"], each["score"]) for each in by_name[photo.file.name]] for photo in photos]


def _run(command: Sequence[str]) -> None:
    """Run a command in silence. Raises RunError with its last line if it fails."""
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"{' '.join(command[1:4])}: expected status 0, found {process.returncode}: {last}")


def _timed(work: Callable[[], object]) -> Seconds:
    """Return the seconds of some work, in this process and in those that it starts."""
    clock, processor = time.perf_counter(), _processor_seconds()
    work()
    return Seconds(clock=time.perf_counter() - clock, processor=_processor_seconds() - processor)


def _processor_seconds() -> float:
    own, children = os.times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.user + own.system + children.ru_utime + children.ru_stime


def _median(seconds: Sequence[Seconds]) -> Seconds:
    return Seconds(
        clock=statistics.median(each.clock for each in seconds),
        processor=statistics.median(each.processor for each in seconds),
    )


if __name__ == "__main__":
    run_command(main, "check_first_contact")
