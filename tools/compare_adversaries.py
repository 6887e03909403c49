#!/usr/bin/env python3
"""Train against each adversary for equal minutes with the same seeds, and print AP of all and of occluded objects.

    python tools/compare_adversaries.py configs/faster_rcnn.yaml --minutes 10 --out OUT
    python tools/compare_adversaries.py configs/faster_rcnn.yaml --steps 1750 --out OUT     # equal steps

`plain` is the usual training; `none` has the stages of the others without an adversary. Two short trainings of each
tell its seconds per step, from which its steps follow. With `--initial-steps` a detector is trained first for each
seed, without an adversary, and all start from it. The data are the built-in shapes with `data.occlusion`. The last
weights are scored on the validation split. OUT holds all files; the same command resumes an interrupted comparison.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from detect.cli.exit_status import run_command
from detect.errors import UserError
from detect.system.files import require_file, write_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the neighbors of this file

from tools.adversary_gains import NONE, Outcome, format_outcomes
from tools.timed_commands import run_timed, set_options

Command = list[str | Path]
Result = TypeVar("Result")
PLAIN = "plain"
ADVERSARIES = (PLAIN, NONE, "random_dropout", "hard_dropout", "asdn", "astn", "both")
FEW_SEEDS = ("astn", "both")
PILOT_STEPS = (40, 120)


@dataclass(frozen=True)
class Comparison:
    """What all trainings have in common: the folder of all files, the configuration, the settings that change it, and
    the steps of the detector that those of a seed start from (None: random weights).
    """

    out: Path
    config: Path
    settings: tuple[str, ...]
    initial_steps: int | None = None

    def initial_run(self, seed: int) -> Path:
        """Return the run folder of the detector that the trainings of a seed start from."""
        return self.out / f"initial-{self.initial_steps}-{seed}"


@click.command(help=__doc__)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for all files that are written.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Length of each training.")
@click.option("--steps", type=click.IntRange(1), help="Number of steps of each training, instead of --minutes.")
@click.option("--occlusion", type=click.FloatRange(0, 1), default=0.6, show_default=True, help="data.occlusion.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Number of seeds.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True, help="The first of them.")
@click.option("--few-seeds", type=click.IntRange(0), default=1, show_default=True, help="Those of astn and both.")
@click.option("--initial-steps", type=click.IntRange(1), help="Steps of a detector that all of a seed start from.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Trainings side by side.")
@click.option("--adversary", "names", type=click.Choice(ADVERSARIES), multiple=True, help="Only these, and none.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of all trainings.")
def main(
    config: Path,
    out: Path,
    minutes: float | None,
    steps: int | None,
    occlusion: float,
    seeds: int,
    first_seed: int,
    few_seeds: int,
    initial_steps: int | None,
    jobs: int,
    names: tuple[str, ...],
    settings: tuple[str, ...],
) -> None:
    """Run the missing steps, then print the table and write OUT/table.md."""
    require_file(config, "a configuration file")
    if (minutes is None) == (steps is None):
        raise UserError(f"--minutes: expected either --minutes or --steps, found {'both' if minutes else 'neither'}")
    if initial_steps is not None and any(setting.startswith("model.init=") for setting in settings):
        raise UserError("--initial-steps: expected without model.init, which it sets, found both")
    out.mkdir(parents=True, exist_ok=True)
    common = (f"data.occlusion={occlusion}", "train.validate_every=null", *settings)
    comparison = Comparison(out=out, config=config, settings=common, initial_steps=initial_steps)
    all_seeds = range(first_seed, first_seed + seeds)
    trained = [name for name in ADVERSARIES if not names or name in (NONE, *names)]
    pairs = [(name, seed) for seed in all_seeds for name in trained if name not in FEW_SEEDS]
    pairs += [(name, seed) for seed in all_seeds[:few_seeds] for name in trained if name in FEW_SEEDS]
    draw_data(comparison)
    lengths = dict.fromkeys(trained, steps or 0)
    if minutes is not None:
        lengths = {name: steps_in(minutes, pilot_seconds(comparison, name)) for name, _ in pairs}
    if initial_steps is not None:
        first_trainings = [partial(train_initial, comparison, initial_steps, seed) for seed in all_seeds]
        run_side_by_side(first_trainings, jobs)
    trainings = [partial(train_and_score, comparison, name, lengths[name], seed) for name, seed in pairs]
    outcomes: dict[str, list[Outcome]] = {name: [] for name in trained}
    for (name, _), outcome in zip(pairs, run_side_by_side(trainings, jobs), strict=True):
        outcomes[name].append(outcome)
    text = format_outcomes(outcomes)
    print(text, flush=True)
    write_text(out / "table.md", text)


def run_side_by_side(calls: Sequence[Callable[[], Result]], jobs: int) -> list[Result]:
    """Return what the calls return, ``jobs`` of them at a time. After an exception no further call starts."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(call) for call in calls]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def train_initial(comparison: Comparison, steps: int, seed: int) -> None:
    """Train the detector that those of a seed start from, unless it is done."""
    run, without_init = comparison.initial_run(seed), replace(comparison, initial_steps=None)
    run_timed(comparison.out, f"training {run.name}", training(without_init, PLAIN, steps, seed, run), run)


def train_and_score(comparison: Comparison, name: str, steps: int, seed: int) -> Outcome:
    """Train against an adversary unless it is done, score its last weights, and return what came out."""
    run = comparison.out / f"{name}-{seed}"
    score = run.with_suffix(".json")
    command = training(comparison, name, steps, seed, run)
    seconds = run_timed(comparison.out, f"training {run.name}", command, run)
    run_timed(comparison.out, f"scoring {run.name}", ["eval", run / "last.pt", "--json", score], score)
    all_objects, occluded = read_score(score)
    return Outcome(all_objects, occluded, seconds / 60, last_step_seconds(run))


def training(comparison: Comparison, name: str, steps: int, seed: int, run: Path) -> Command:
    """Return the command that trains against an adversary."""
    changes = ["train.epochs=null", f"train.steps={steps}", f"seed={seed}", *comparison.settings]
    if comparison.initial_steps is not None:
        changes.append(f"model.init={comparison.initial_run(seed) / 'last.pt'}")
    if name != PLAIN:
        changes += ["train.recipe=adversarial", f"model.adversary.type={name}"]
    return ["train", "--config", comparison.config, *set_options(changes), "--out", run]


def draw_data(comparison: Comparison) -> None:
    """Draw the built-in data, by a training of one step: otherwise the first pilot would be timed with that."""
    run = comparison.out / "data"
    run_timed(run.parent, "data", training(replace(comparison, initial_steps=None), PLAIN, 1, 0, run), run)


def pilot_seconds(comparison: Comparison, name: str) -> tuple[float, float]:
    """Return the seconds of two short trainings from random weights, of PILOT_STEPS steps."""
    without_init = replace(comparison, initial_steps=None)
    short, long = (
        run_timed(comparison.out, f"pilot {name} {steps}", training(without_init, name, steps, 0, run), run)
        for steps in PILOT_STEPS
        for run in [comparison.out / f"pilot-{name}-{steps}"]
    )
    return short, long


def steps_in(minutes: float, pilots: tuple[float, float]) -> int:
    """Return how many steps fit into some minutes, from the seconds of the two pilots; the start does not count.

    Raises UserError where the longer pilot was not longer.
    """
    step_seconds = (pilots[1] - pilots[0]) / (PILOT_STEPS[1] - PILOT_STEPS[0])
    if step_seconds <= 0:
        raise UserError(
            f"--minutes: expected more seconds for {PILOT_STEPS[1]} steps than for {PILOT_STEPS[0]}, found "
            f"{pilots[1]:.1f} and {pilots[0]:.1f}: give --steps, or a quiet machine"
        )
    return max(2, round(60 * minutes / step_seconds))


def read_score(score: Path) -> tuple[float, float]:
    """Return AP of all and of occluded objects of a file of ``detect eval --json``. Raises UserError without marks."""
    content = json.loads(score.read_text(encoding="utf-8"))
    try:
        return float(content["AP"]), float(content["ranges"]["occlusion"]["occluded"]["mAP"])
    except (KeyError, TypeError):
        raise UserError(f"{score}: expected AP of occluded objects, found no labels that say occluded") from None


def last_step_seconds(run: Path) -> float:
    """Return the median seconds of a step of the last stage; NaN where it was too short for a row of metrics.csv."""
    file = run / "3-joint" / "metrics.csv" if (run / "3-joint").is_dir() else run / "metrics.csv"
    if not file.is_file():
        return math.nan
    with file.open(encoding="utf-8", newline="") as stream:
        seconds = [float(row["step_seconds"]) for row in csv.DictReader(stream) if row.get("step_seconds")]
    return statistics.median(seconds) if seconds else math.nan


if __name__ == "__main__":
    run_command(main, "compare_adversaries")
