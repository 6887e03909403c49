#!/usr/bin/env python3
"""Compare R-CNN, Fast R-CNN and Faster R-CNN with the same backbone on a subset of VOC 2007, in one table.

    python tools/compare_generations.py --root VOCdevkit/VOC2007 --weights mobilenet_v2_features.pth --out OUT

Trains on every 5th image of ``train``, scores on every 5th of ``val`` (last weights, VOC07 mAP), compares each
generation with the one before on the same images (95% interval of a paired bootstrap), and times the stages of the
detectors image by image. OUT holds all files; the same command resumes an interrupted comparison.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from detect.bench.stage_times import StageTimes, time_stages
from detect.cli.exit_status import run_command
from detect.inference.load import load
from detect.system.files import require_file, require_folder, write_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the neighbors of this file

CONFIG = "configs/voc07/generations.yaml"
# Settings of each generation in addition to its kind. R-CNN reads 8 images a step where the paper reads up to 128.
GENERATIONS: dict[str, tuple[str, ...]] = {
    "rcnn": (
        "model.head.sampling=per_image",
        "model.head.batch_size_per_image=16",
        "train.batch_size=8",
        "train.steps=800",
    ),
    "fast_rcnn": (),
    "faster_rcnn": (),
}
NAMES = {"rcnn": "R-CNN", "fast_rcnn": "Fast R-CNN", "faster_rcnn": "Faster R-CNN"}
MAX_TIMED_IMAGES = 100


@click.command(help=__doc__)
@click.option(
    "--root", required=True, type=click.Path(path_type=Path), help="Folder of one year in a VOC devkit, e.g. VOC2007."
)
@click.option(
    "--weights", required=True, type=click.Path(path_type=Path), help="File with ImageNet weights of MobileNetV2."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for all files that are written.")
@click.option(
    "--every", type=click.IntRange(1), default=5, show_default=True, help="Use every N-th image of train, and of val."
)
@click.option("--val-every", type=click.IntRange(1), help="Score on every N-th image of val instead.")
@click.option("--kind", "kinds", type=click.Choice(list(NAMES)), multiple=True, help="Only these; all without it.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of all.")
def main(
    root: Path,
    weights: Path,
    out: Path,
    every: int,
    val_every: int | None,
    kinds: tuple[str, ...],
    settings: tuple[str, ...],
) -> None:
    """Run the missing steps, then print the table and write OUT/table.md and OUT/table.json."""
    from tools.timed_commands import run_timed, set_options
    from tools.voc_subset import read_list, write_subset

    require_file(weights, "a weights file")
    steps = {"train": every, "val": val_every or every}
    require_folder(root, "a VOC folder")
    data = write_subset(root, out / "VOC2007", {name: read_list(root, name)[::step] for name, step in steps.items()})
    chosen = [kind for kind in GENERATIONS if kind in kinds or not kinds]
    overrides = [f"data.root={data}", f"model.backbone.weights={weights.absolute()}", *settings]
    proposals, search_seconds = out / "proposals.npz", 0.0
    if chosen != ["faster_rcnn"]:
        of_data = set_options(["data.format=voc", f"data.root={data}"])
        search_seconds = run_timed(out, "search", ["proposals", "make", *of_data, "--out", proposals], proposals)
    rows: dict[str, GenerationResult] = {}
    for kind in chosen:
        run = out / kind
        search = [] if kind == "faster_rcnn" else [f"model.proposals={proposals}"]
        changes = set_options([f"model.kind={kind}", *search, *GENERATIONS[kind], *overrides])
        training = run_timed(out, f"{kind} training", ["train", "--config", CONFIG, *changes, "--out", run], run)
        previous = next(reversed(rows), None)
        rows[kind] = GenerationResult(
            score(out, kind),
            None if previous is None else gain_over(out, kind, previous),
            training / 60,
            time_stages(load(run / "last.pt", "cpu"), timing_images(data)),
        )
    text = format_table(rows, search_seconds, steps, len(timing_images(data)))
    Console().print(text, markup=False, soft_wrap=True)
    write_text(out / "table.md", text)
    write_text(out / "table.json", json.dumps({kind: row.to_dict() for kind, row in rows.items()}, indent=1) + "\n")


@dataclass(frozen=True)
class GenerationResult:
    """VOC07 mAP, its gain over the generation before with its interval (low, high), minutes of training, and the median
    seconds of each stage for one image, of one detector.
    """

    mean_ap: float
    gain: tuple[float, float, float] | None
    minutes: float
    times: StageTimes

    @property
    def seconds(self) -> dict[str, float]:
        """Return the seconds of the three parts that all generations have."""
        times = self.times
        return {
            "proposals": times.search + times.proposals,
            "features": times.backbone + times.regions,
            "heads": times.head + times.postprocess,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values for JSON."""
        return {"mAP": self.mean_ap, "gain": self.gain, "minutes": self.minutes, **self.seconds}


def score(out: Path, kind: str) -> float:
    """Return the VOC07 mAP of a generation."""
    from tools.timed_commands import run_timed

    file = out / kind / "score.json"
    run_timed(out, f"{kind} scoring", ["eval", out / kind / "last.pt", "--json", file], file)
    return float(json.loads(file.read_text())["mAP"])


def gain_over(out: Path, kind: str, previous: str) -> tuple[float, float, float]:
    """Return what a generation has over the previous one, and the interval of the difference."""
    from tools.timed_commands import run_timed

    file = out / kind / f"over-{previous}.json"
    models = (out / previous / "last.pt", out / kind / "last.pt")
    run_timed(out, f"{kind} over {previous}", ["eval", *models, "--json", file], file)
    difference = json.loads(file.read_text())["difference"]["mAP"]  # of the second model from the first
    return (difference["value"], *difference["interval"])


def timing_images(data: Path) -> list[Path]:
    """Return MAX_TIMED_IMAGES of the validation images, or all if they are fewer, evenly spaced in their list."""
    stems = (data / "ImageSets" / "Main" / "val.txt").read_text().split()
    indices = np.linspace(0, len(stems) - 1, min(MAX_TIMED_IMAGES, len(stems))).astype(int)
    return [data / "JPEGImages" / f"{stems[index]}.jpg" for index in indices]


def format_table(
    rows: dict[str, GenerationResult], search_seconds: float, steps: Mapping[str, int], num_timed: int
) -> str:
    """Format the results as Markdown; the seconds in the papers are those of VGG16 on a K40."""
    papers = {"rcnn": "47.0 without", "fast_rcnn": "0.32 without", "faster_rcnn": "0.20 with"}
    lines = [
        "| | VOC07 mAP | over the one before | training, min | s/image | proposals | features | heads | speedup "
        "| s in the papers |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    first_total = sum(next(iter(rows.values())).seconds.values())
    for kind, row in rows.items():
        total = sum(row.seconds.values())
        cells = " | ".join(f"{seconds:.3f}" for seconds in (total, *row.seconds.values()))
        gain = "" if row.gain is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*row.gain)
        lines.append(
            f"| {NAMES[kind]} | {row.mean_ap:.3f} | {gain} | {row.minutes:.1f} | {cells} | {first_total / total:.1f} "
            f"| {papers[kind]} |"
        )
    search = f"; selective search took another {search_seconds / 60:.1f} minutes" if search_seconds else ""
    note = (
        f"One image in {steps['train']} of train, one in {steps['val']} of val{search}. Differences have 95% intervals "
        "of a paired bootstrap over the images, which do not hold what another seed would change. s/image is the sum "
        f"of the stages' medians on {num_timed} images, without decoding and resizing."
    )
    return "\n".join([*lines, "", note, ""])


if __name__ == "__main__":
    run_command(main, "compare_generations")
