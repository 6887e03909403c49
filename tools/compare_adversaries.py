#!/usr/bin/env python3
"""Train against each adversary for equal minutes with the same seeds, and print AP of all and of occluded objects.

    python tools/compare_adversaries.py configs/faster_rcnn.yaml --minutes 10 --out OUT
    python tools/compare_adversaries.py configs/faster_rcnn.yaml --steps 1750 --out OUT     # equal steps

`plain` is the usual training; `none` has the stages of the others without an adversary. Two short trainings of each
tell its seconds per step, from which its steps follow. The data are the built-in shapes with `data.occlusion`. The last
weights are scored on the validation split. OUT holds all files; the same command resumes an interrupted comparison.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from detect.cli.exit_status import run_command
from detect.errors import UserError
from detect.system.files import require_file, write_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the neighbor that runs the commands

Command = list[str | Path]
PLAIN, NONE = "plain", "none"
ADVERSARIES = (PLAIN, NONE, "random_dropout", "hard_dropout", "asdn", "astn", "both")
FEW_SEEDS = ("astn", "both")
PILOT_STEPS = (40, 120)
# Half of the 95% interval of a mean, in standard errors: quantiles of Student's t for 1 to 9 degrees of freedom.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
EXCLUDED_GAIN = 0.02  # of AP on occluded objects: a null counts only where its interval excludes it


@dataclass(frozen=True)
class Outcome:
    """What came out of a training: AP of all and of occluded objects, minutes, and seconds of a step of its last
    stage.
    """

    all_objects: float
    occluded: float
    minutes: float
    step_seconds: float


@dataclass(frozen=True)
class Gain:
    """The mean of paired differences and its 95% interval, which needs two pairs (None of a single one)."""

    mean: float
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        """Return the gain in points, with its interval."""
        ends = "" if self.interval is None else f" ({100 * self.interval[0]:+.1f} to {100 * self.interval[1]:+.1f})"
        return f"{100 * self.mean:+.1f}{ends}"


@click.command(help=__doc__)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for all files that are written.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Length of each training.")
@click.option("--steps", type=click.IntRange(1), help="Number of steps of each training, instead of --minutes.")
@click.option("--occlusion", type=click.FloatRange(0, 1), default=0.6, show_default=True, help="data.occlusion.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Number of seeds.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True, help="The first of them.")
@click.option("--few-seeds", type=click.IntRange(0), default=1, show_default=True, help="Those of astn and both.")
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
    names: tuple[str, ...],
    settings: tuple[str, ...],
) -> None:
    """Run the missing steps, then print the table and write OUT/table.md."""
    require_file(config, "a configuration file")
    if (minutes is None) == (steps is None):
        raise UserError(f"--minutes: expected either --minutes or --steps, found {'both' if minutes else 'neither'}")
    out.mkdir(parents=True, exist_ok=True)
    common = (f"data.occlusion={occlusion}", "train.validate_every=null", *settings)
    chosen = [name for name in ADVERSARIES if not names or name in (NONE, *names)]
    outcomes: dict[str, list[Outcome]] = {name: [] for name in chosen}
    draw_data(out, config, common)
    for seed in range(first_seed, first_seed + seeds):
        for name in chosen:
            if name in FEW_SEEDS and seed >= first_seed + few_seeds:
                continue
            length = steps or steps_in(minutes or 0.0, pilot_seconds(out, config, name, common))
            outcomes[name].append(train_and_score(out, config, name, length, seed, common))
            text = format_outcomes(outcomes)
            print(text, flush=True)
            write_text(out / "table.md", text)


def train_and_score(out: Path, config: Path, name: str, steps: int, seed: int, common: Sequence[str]) -> Outcome:
    """Train against an adversary unless it is done, score it, and return what came out."""
    from tools.timed_commands import run_timed

    run = out / f"{name}-{seed}"
    score = run.with_suffix(".json")
    seconds = run_timed(out, f"training {run.name}", training(config, name, steps, seed, common, run), run)
    run_timed(out, f"scoring {run.name}", ["eval", run / "last.pt", "--json", score], score)
    all_objects, occluded = read_score(score)
    return Outcome(all_objects, occluded, seconds / 60, last_step_seconds(run))


def training(config: Path, name: str, steps: int, seed: int, common: Sequence[str], run: Path) -> Command:
    """Return the command that trains against an adversary."""
    from tools.timed_commands import set_options

    length = ("train.epochs=null", f"train.steps={steps}", f"seed={seed}")
    adversary = () if name == PLAIN else ("train.recipe=adversarial", f"model.adversary.type={name}")
    return ["train", "--config", config, *set_options([*length, *common, *adversary]), "--out", run]


def draw_data(out: Path, config: Path, common: Sequence[str]) -> None:
    """Draw the built-in data, by a training of one step: otherwise the first pilot would be timed with that."""
    from tools.timed_commands import run_timed

    run = out / "data"
    run_timed(out, "data", training(config, PLAIN, 1, 0, common, run), run)


def pilot_seconds(out: Path, config: Path, name: str, common: Sequence[str]) -> tuple[float, float]:
    """Return the seconds of two short trainings, of PILOT_STEPS steps."""
    from tools.timed_commands import run_timed

    short, long = (
        run_timed(out, f"pilot {name} {steps}", training(config, name, steps, 0, common, run), run)
        for steps in PILOT_STEPS
        for run in [out / f"pilot-{name}-{steps}"]
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


def gain_of_pairs(base: Sequence[float], scores: Sequence[float]) -> Gain:
    """Return the gain of scores over those of the base with the same seeds. Raises ValueError without any."""
    differences = [score - of_base for of_base, score in zip(base, scores, strict=False)]
    if not differences:
        raise ValueError("differences: expected at least one, found none")
    mean = statistics.mean(differences)
    if len(differences) == 1:
        return Gain(mean, None)
    quantile = T_QUANTILES[min(len(differences) - 2, len(T_QUANTILES) - 1)]
    half = quantile * statistics.stdev(differences) / math.sqrt(len(differences))
    return Gain(mean, (mean - half, mean + half))


def format_outcomes(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Return a row for each adversary: AP in percent, its spread, the gain over none, minutes, and cost of a step."""
    lines = [
        "| adversary | seeds | AP, all | deviation | gain over none | AP, occluded | deviation | gain over none "
        f"| below {100 * EXCLUDED_GAIN:+.0f} | minutes | step |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    base = outcomes.get(NONE) or outcomes.get(PLAIN) or ()
    for name, runs in outcomes.items():
        if not runs:
            continue
        cells = [name, str(len(runs))]
        for metric in ("all_objects", "occluded"):
            scores = [getattr(run, metric) for run in runs]
            deviation = f"{100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else "-"
            gain = gain_of_pairs([getattr(run, metric) for run in base], scores) if base else None
            cells += [f"{100 * statistics.mean(scores):.1f}", deviation, "-" if gain is None else str(gain)]
        is_null = gain is not None and gain.interval is not None and gain.interval[1] < EXCLUDED_GAIN
        cost = statistics.median(run.step_seconds for run in runs)
        base_cost = statistics.median(run.step_seconds for run in base) if base else math.nan
        cells += ["yes" if is_null else "no", f"{statistics.mean(run.minutes for run in runs):.1f}"]
        lines.append("| " + " | ".join([*cells, f"{cost / base_cost:.2f}"]) + " |")
    note = (
        "Gains are in points, means of pairs of seeds with their 95% intervals (Student's t). "
        f"below {100 * EXCLUDED_GAIN:+.0f}: the interval of the gain on occluded objects ends below that. "
        "step: the median seconds of a step of the last stage, relative to none."
    )
    return "\n".join([*lines, "", note, ""])


if __name__ == "__main__":
    run_command(main, "compare_adversaries")
