#!/usr/bin/env python3
"""Train two configurations with the same seeds, and print the gain of the second with its 95% interval.

    python tools/compare_seeds.py configs/faster_rcnn.yaml configs/cascade_rcnn.yaml --metric AP75 --out OUT

Both trainings of a pair have the same seed. The last weights are scored on the validation split. OUT holds all files;
the same command resumes an interrupted comparison.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from detect.cli.exit_status import run_command
from detect.errors import UserError
from detect.system.files import require_file, write_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the neighbors of this file

from tools.paired_gain import gain_of_pairs
from tools.timed_commands import run_timed, set_options

Command = list[str | Path]


def format_gain(metric: str, seeds: Sequence[int], pairs: Sequence[tuple[float, float]]) -> str:
    """Return the metric of each pair and the gain, as Markdown."""
    gain = gain_of_pairs([first for first, _ in pairs], [second for _, second in pairs])
    rows = [
        f"| {seed} | {first:.3f} | {second:.3f} | {second - first:+.3f} |"
        for seed, (first, second) in zip(seeds, pairs, strict=True)
    ]
    interval = "without an interval, which needs two pairs"
    if gain.interval is not None:
        low, high = gain.interval
        position = "above 0" if low > 0 else "below 0" if high < 0 else "with 0 in it"
        interval = f"95% interval {low:+.4f} to {high:+.4f} (Student's t), {position}"
    header = [f"| seed | {metric} of the first | of the second | gain |", "|---|---|---|---|"]
    note = f"Mean gain {gain.mean:+.4f}, {interval}."
    return "\n".join([*header, *rows, "", note, ""])


@click.command(help=__doc__)
@click.argument("configs", nargs=2, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for all files that are written.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Number of pairs.")
@click.option("--metric", default="AP75", show_default=True, help="Metric of `detect eval` to compare.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of both.")
def main(configs: tuple[Path, Path], out: Path, seeds: int, metric: str, settings: tuple[str, ...]) -> None:
    """Run the missing steps, then print the table and write OUT/table.md."""
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
