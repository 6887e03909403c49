#!/usr/bin/env python3
"""Fine-tune on a data set from the packaged detector and from ImageNet weights, with the same seeds and steps.

    python tools/compare_starts.py my_folder --out OUT --seeds 3
    python tools/compare_starts.py VOC_FOLDER --out OUT --images 20 --images 50 --images 100 --images 200

The first start is `detect train --data`. The second has its settings, with all parts trained, no early stop, and the
backbone's ImageNet weights alone; with `--svm` a third has those of the first, with fitted SVMs in place of the
softmax. The best weights by validation of each are scored on the validation split (VOC07 mAP). `--images` trains on
the first images of a shuffled list of the training images of a folder in VOC's layout. OUT holds all files; the same
command resumes an interrupted comparison.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from detect.cli.exit_status import run_command
from detect.errors import UserError
from detect.system.files import require_folder, write_text
from detect.training.finetuning.initial import SHIPPED

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the neighbors of this file

from tools.paired_gain import gain_of_pairs

ALL_PARTS = "[backbone,proposer,head]"
Command = list[str | Path]


@dataclass(frozen=True)
class Start:
    """One way to start: its name in the table, and the settings that differ from those of the first start."""

    name: str
    settings: tuple[str, ...] = ()


PACKAGED = Start("packaged detector")
IMAGENET = Start(
    "ImageNet weights",
    (
        "model.init=null",
        "model.backbone.weights=IMAGENET1K_V1",
        f"train.trainable={ALL_PARTS}",
        "train.patience=null",
    ),
)
SVM = Start(
    "packaged detector, SVMs",
    ("model.classifier=svm", "train.recipe=rcnn", "train.patience=null", "train.validate_every=null"),
)


@dataclass(frozen=True)
class Outcome:
    """The VOC07 mAP and the minutes of one training."""

    mean_ap: float
    minutes: float


@click.command(help=__doc__)
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for all files that are written.")
@click.option("--init", default=SHIPPED, show_default=True, help="Detector of the first start.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Number of seeds.")
@click.option("--images", type=click.IntRange(1), multiple=True, help="Number of training images; all without it.")
@click.option("--svm", is_flag=True, help="Compare fitted SVMs too.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of all trainings.")
def main(
    root: Path, out: Path, init: str, seeds: int, images: tuple[int, ...], svm: bool, settings: tuple[str, ...]
) -> None:
    """Run the missing steps, then print the table and write OUT/table.md."""
    root = require_folder(root, "a data set").absolute()
    out.mkdir(parents=True, exist_ok=True)
    starts = (PACKAGED, IMAGENET, SVM) if svm else (PACKAGED, IMAGENET)
    rows: list[tuple[str, dict[str, list[Outcome]]]] = []
    for count in images or (None,):
        outcomes: dict[str, list[Outcome]] = {start.name: [] for start in starts}
        rows.append(("all" if count is None else str(count), outcomes))
        for seed in range(seeds):
            data = root if count is None else shuffled_subset(root, out / f"data-{count}-{seed}", count, seed)
            common = (f"seed={seed}", f"model.init={init}", *settings)
            for start in starts:
                folder = out / f"{rows[-1][0]}-{start.name.replace(', ', '-').replace(' ', '-')}-{seed}"
                outcomes[start.name].append(run_start(out, folder, data, start, common))
            text = format_outcomes(rows)
            print(text, flush=True)
            write_text(out / "table.md", text)


def run_start(out: Path, run: Path, data: Path, start: Start, common: Sequence[str]) -> Outcome:
    """Train from one start into ``run`` unless it has finished, score it, and return what came out."""
    from tools.timed_commands import run_timed, set_options

    changes = set_options([*common, *start.settings])
    if not start.settings:
        training: Command = ["train", "--data", data, *changes, "--out", run]
    else:
        first = out / f"{run.name.split('-')[0]}-{PACKAGED.name.replace(' ', '-')}-{run.name.rsplit('-', 1)[1]}"
        training = ["train", "--config", first / "config.yaml", *changes, "--out", run]
    score = run.with_suffix(".json")
    seconds = run_timed(out, f"training {run.name}", training, run)
    run_timed(out, f"scoring {run.name}", ["eval", run / "best.pt", "--metric", "voc07", "--json", score], score)
    return Outcome(json.loads(score.read_text(encoding="utf-8"))["mAP"], seconds / 60)


def shuffled_subset(root: Path, out: Path, count: int, seed: int) -> Path:
    """Make a VOC folder with ``count`` training images drawn with ``seed``, and links to the files of ``root``.

    A larger count of the same seed holds the images of a smaller one. Raises UserError with fewer images than that, or
    if ``out`` holds another subset.
    """
    from tools.voc_subset import read_list, write_subset

    names = sorted(read_list(root, "train"))
    if count > len(names):
        raise UserError(f"--images: expected at most {len(names)}, the training images of {root}, found {count}")
    random.Random(seed).shuffle(names)
    return write_subset(root, out, {"train": sorted(names[:count]), "val": read_list(root, "val")})


def format_outcomes(rows: Sequence[tuple[str, dict[str, list[Outcome]]]]) -> str:
    """Return a row for each number of images and start: its mAPs, their mean, spread and gain, and the minutes.

    The gain is over ImageNet weights, with a 95% interval by Student's t over the seeds.
    """
    lines = [
        "| training images | start | VOC07 mAP of each seed | mean | deviation | over ImageNet | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for images, outcomes in rows:
        base = [outcome.mean_ap for outcome in outcomes[IMAGENET.name]]
        for name, runs in outcomes.items():
            if not runs:
                continue
            scores = [run.mean_ap for run in runs]
            deviation = f"{statistics.stdev(scores):.3f}" if len(scores) > 1 else "-"
            gain = str(gain_of_pairs(base, scores)) if len(base) == len(scores) and name != IMAGENET.name else "-"
            minutes = statistics.mean(run.minutes for run in runs)
            each = ", ".join(f"{score:.3f}" for score in scores)
            lines.append(
                f"| {images} | {name} | {each} | {statistics.mean(scores):.3f} | {deviation} | {gain} | {minutes:.1f} |"
            )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    run_command(main, "compare_starts")
