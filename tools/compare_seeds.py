#!/usr/bin/env python3
"""Train two configurations with the same seeds, and print the gain of the second with its standard error.

    python tools/compare_seeds.py configs/faster_rcnn.yaml configs/cascade_rcnn.yaml --metric AP75 --out OUT

Both trainings of a pair have the same seed. The last weights are scored on the validation split. OUT holds all files;
the same command resumes an interrupted comparison.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from detect.cli.exit_status import run_command
from detect.errors import UserError
from detect.system.files import require_file, write_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the neighbor that runs the commands

Command = list[str | Path]


@dataclass(frozen=True)
class Gain:
    """The differences of pairs: their mean and its standard error, which needs two pairs (None of a single one)."""

    mean: float
    standard_error: float | None

    @property
    def is_clear(self) -> bool:
        """Return whether the mean is above two standard errors."""
        return self.standard_error is not None and self.mean > 2 * self.standard_error


def gain_of_pairs(pairs: Sequence[tuple[float, float]]) -> Gain:
    """Return the gain of the second metric over the first of each pair. Raises ValueError without pairs."""
    if not pairs:
        raise ValueError("pairs: expected at least one, found none")
    differences = [second - first for first, second in pairs]
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else None
    return Gain(statistics.mean(differences), error)


def format_gain(metric: str, seeds: Sequence[int], pairs: Sequence[tuple[float, float]]) -> str:
    """Return the metric of each pair and the gain, as Markdown."""
    gain = gain_of_pairs(pairs)
    rows = [
        f"| {seed} | {first:.3f} | {second:.3f} | {second - first:+.3f} |"
        for seed, (first, second) in zip(seeds, pairs, strict=True)
    ]
    verdict = "its standard error is unknown, as there is one pair"
    if gain.standard_error is not None:
        above = "above" if gain.is_clear else "not above"
        verdict = f"standard error {gain.standard_error:.4f}: {above} two standard errors"
    header = [f"| seed | {metric} of the first | of the second | gain |", "|---|---|---|---|"]
    note = f"Mean gain {gain.mean:+.4f}, {verdict}."
    return "\n".join([*header, *rows, "", note, ""])


@click.command(help=__doc__)
@click.argument("configs", nargs=2, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for all files that are written.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Number of pairs.")
@click.option("--metric", default="AP75", show_default=True, help="Metric of `detect eval` to compare.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of both.")
def main(configs: tuple[Path, Path], out: Path, seeds: int, metric: str, settings: tuple[str, ...]) -> None:
    """Run the missing steps, then print the table and write OUT/table.md."""
    from tools.timed_commands import run_timed, set_options

    for config in configs:
        require_file(config, "a configuration file")
    out.mkdir(parents=True, exist_ok=True)
    pairs = []
    for seed in range(seeds):
        scores = []
        for number, config in enumerate(configs, start=1):
            run = out / f"{number}-{config.stem}-{seed}"
            score = run.with_suffix(".json")
            changes = set_options([f"seed={seed}", *settings])
            training: Command = ["train", "--config", config, *changes, "--out", run]
            scoring: Command = ["eval", run / "last.pt", "--json", score]
            run_timed(out, f"training {run.name}", training, run)
            run_timed(out, f"scoring {run.name}", scoring, score)
            scores.append(metric_of(score, metric))
        pairs.append((scores[0], scores[1]))
        text = format_gain(metric, range(seed + 1), pairs)
        print(text, flush=True)
        write_text(out / "table.md", text)


def metric_of(score: Path, metric: str) -> float:
    """Return a metric of a file of `detect eval --json`. Raises UserError if the file has none of that name."""
    metrics = json.loads(score.read_text(encoding="utf-8"))
    if not isinstance(metrics.get(metric), float):
        known = [name for name, number in metrics.items() if isinstance(number, float)]
        raise UserError(f"--metric: expected one of {', '.join(known)}, found {metric}")
    return float(metrics[metric])


if __name__ == "__main__":
    run_command(main, "compare_seeds")
