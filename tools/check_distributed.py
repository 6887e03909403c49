"""Checks that two processes train as one does, and how fast: runs of ``detect train`` on CPUs by torchrun.

    python tools/check_distributed.py --steps 200 --out build/distributed
    python tools/check_distributed.py --steps 200 --before OTHER_CHECKOUT --out build/distributed

The runs: one process; the same with other instructions of the CPU, whose sums have another order too, as a measure of
what rounding does in as many steps; two processes. Prints the largest difference of a weight from the first run, and
the seconds of a step. With --before, two processes of another checkout are timed in turn with those of this one (``git
worktree add``). The exit status is 1 if two processes differ from one by more than 1e-6, and by more than ten times
what other instructions do.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from detect.checkpoints.checkpoint import load_checkpoint
from detect.system.numbers import largest

ROOT = Path(__file__).resolve().parents[1]
LOG_EVERY = 5
# Group normalization: that over a batch has the statistics of a process's own images. SGD: AdamW makes a whole step of
# a gradient that is nothing but rounding. One step of warmup, as later ones hide a difference of the first ones.
SETTINGS = (
    "model.backbone.norm=group",
    "train.optimizer=sgd",
    "train.lr=0.01",
    "train.warmup=0",
    "train.ema_decay=0",
    "train.validate_every=null",
    "train.epochs=null",
    f"train.log_every={LOG_EVERY}",
    "train.checkpoint_every=100000",
    "device=cpu",
    "data.workers=0",
)
OTHER_INSTRUCTIONS = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}  # of torch and of oneDNN
MAX_TIMES_ROUNDING, MAX_DIFFERENCE = 10, 1e-6


@dataclass(frozen=True)
class Variant:
    """A way to train: the checkout, how many processes of one thread each, and variables of their environment."""

    name: str
    checkout: Path
    processes: int
    variables: tuple[tuple[str, str], ...] = ()

    def train(self, folder: Path, config: str, settings: tuple[str, ...]) -> None:
        """Train into a folder; exit with the output of the command if it fails."""
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(self.processes)]
        chosen = [part for setting in settings for part in ("--set", setting)]
        command = ["-m", "detect", "train", "--config", config, "--out", str(folder), *chosen]
        done = subprocess.run(
            [sys.executable, *(launcher if self.processes > 1 else []), *command],
            cwd=self.checkout,
            env=os.environ | {"PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"} | dict(self.variables),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise click.ClickException(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def largest_difference(first: Path, second: Path) -> float:
    """Return the largest difference of a weight of two runs, infinity where one is not a number."""
    weights, others = (load_checkpoint(folder / "last.pt").weights for folder in (first, second))
    assert weights.keys() == others.keys()
    return largest(float((weights[name].double() - others[name].double()).abs().max()) for name in weights)


def step_seconds(folder: Path) -> list[float]:
    """Return the seconds of a step in each row of metrics.csv but the first, which has what happens once."""
    with (folder / "metrics.csv").open(encoding="utf-8") as stream:
        return [float(row["step_seconds"]) for row in csv.DictReader(stream) if row["step_seconds"]][1:]


@click.command()
@click.option("--config", default="faster_rcnn", show_default=True, help="A configuration, with group normalization.")
@click.option("--steps", default=200, show_default=True, type=click.IntRange(min=3 * LOG_EVERY), help="Of each run.")
@click.option("--repeats", default=3, show_default=True, help="Runs of two processes, to time their steps.")
@click.option("--before", type=click.Path(path_type=Path, exists=True), help="Another checkout, timed beside this one.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting of all runs.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder for the runs.")
def main(config: str, steps: int, repeats: int, before: Path | None, changes: tuple[str, ...], out: Path) -> None:
    """Train by one process and by two, and print how much they differ and how long their steps take."""
    out = out.absolute()
    settings = (*SETTINGS, f"data.root={out / 'data'}", f"train.steps={steps}", *changes)
    single = Variant("one process", ROOT, 1)
    rounded = Variant("one process, other instructions", ROOT, 1, tuple(OTHER_INSTRUCTIONS.items()))
    shared = [Variant("two processes", ROOT, 2)]
    if before is not None:
        shared.append(Variant(f"two processes of {before.name}", before.absolute(), 2))
    differences: dict[str, float] = {}
    seconds: dict[str, list[float]] = {}
    for number, variant in enumerate([single, rounded, *shared * repeats]):
        folder = out / f"{number}-{variant.name.replace(' ', '-').replace(',', '')}"
        variant.train(folder, config, settings)
        seconds.setdefault(variant.name, []).extend(step_seconds(folder))
        if number:
            difference = largest_difference(out / "0-one-process", folder)
            differences[variant.name] = max(difference, differences.get(variant.name, 0.0))
        print(f"{number + 1} of {2 + len(shared) * repeats}: {variant.name}", flush=True)
    print(f"\n| after {steps} steps | largest difference of a weight | seconds a step (median) |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {differences.get(name, 0.0):.2g} | {median(values):.4f} |")
    allowed = max(MAX_DIFFERENCE, MAX_TIMES_ROUNDING * differences[rounded.name])
    sys.exit(1 if differences[shared[0].name] > allowed else 0)


if __name__ == "__main__":
    main()
