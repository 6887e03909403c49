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
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console

from detect.cli.exit_status import run_command
from detect.data.images import read_image
from detect.inference.predictor import Predictor, load
from detect.ops.preprocess import rescale_boxes
from detect.system.files import require_file, require_folder, write_text
from detect.types import Images, Proposals

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the neighbor that runs the commands

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
NUM_TIMED_IMAGES = 20


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
    text = format_table(rows, search_seconds, steps)
    Console().print(text, markup=False, soft_wrap=True)
    write_text(out / "table.md", text)
    write_text(out / "table.json", json.dumps({kind: row.to_dict() for kind, row in rows.items()}, indent=1) + "\n")


@dataclass(frozen=True)
class StageTimes:
    """Mean seconds an image takes in each stage."""

    proposals: float
    features: float
    heads: float

    @property
    def total(self) -> float:
        """Return the seconds of all stages together."""
        return self.proposals + self.features + self.heads


@dataclass(frozen=True)
class GenerationResult:
    """VOC07 mAP, its gain over the generation before with its interval (low, high), minutes of training, and seconds an
    image takes, of one detector.
    """

    mean_ap: float
    gain: tuple[float, float, float] | None
    minutes: float
    times: StageTimes

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values for JSON."""
        return {"mAP": self.mean_ap, "gain": self.gain, "minutes": self.minutes, **vars(self.times)}


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
    """Return NUM_TIMED_IMAGES of the validation images, evenly spaced in their list."""
    stems = (data / "ImageSets" / "Main" / "val.txt").read_text().split()
    indices = np.linspace(0, len(stems) - 1, min(NUM_TIMED_IMAGES, len(stems))).astype(int)
    return [data / "JPEGImages" / f"{stems[index]}.jpg" for index in indices]


@torch.inference_mode()
def time_stages(predictor: Predictor, files: Sequence[Path]) -> StageTimes:
    """Return the mean seconds of each stage for one image at a time, after one warm-up image that does not count."""
    detector, times = predictor.base_detector, []
    (stage,) = detector.head.stages
    for file in [files[0], *files]:
        rgb = read_image(file)
        timestamps = [time.perf_counter()]
        boxes_and_scores = None if predictor.proposal_search is None else predictor.proposal_search.search(rgb)
        timestamps.append(time.perf_counter())
        images = preprocess_image(predictor, rgb, boxes_and_scores)
        timestamps.append(time.perf_counter())
        maps = detector.backbone(images.pixels)
        timestamps.append(time.perf_counter())
        proposals = detector.proposer(images, maps, detector.test_selection).proposals
        timestamps.append(time.perf_counter())
        regional = detector.regions(images, maps, [proposal.boxes for proposal in proposals])
        timestamps.append(time.perf_counter())
        logits, deltas = stage(regional)
        detector.postprocess(proposals[0], logits, deltas, images.sizes[0])
        timestamps.append(time.perf_counter())
        search, _, backbone, proposer, regions, head = np.diff(timestamps)
        times.append((search + proposer, backbone + regions, head))
    return StageTimes(*np.mean(times[1:], axis=0).tolist())


def preprocess_image(
    predictor: Predictor, rgb: np.ndarray, boxes_and_scores: tuple[np.ndarray, np.ndarray] | None
) -> Images:
    """Return the image (H, W, 3) as a batch of one, with its proposals: boxes (P, 4) in its pixels and scores (P,)."""
    resized = predictor.preprocess.resize(rgb)
    proposals = None
    if boxes_and_scores is not None:
        boxes, scores = (torch.from_numpy(part) for part in boxes_and_scores)
        sizes = (rgb.shape[0], rgb.shape[1]), (resized.shape[0], resized.shape[1])
        proposals = [Proposals(rescale_boxes(boxes, *sizes), scores)]
    return predictor.preprocess.batch([predictor.preprocess.normalize(resized)], [0], proposals)


def format_table(rows: dict[str, GenerationResult], search_seconds: float, steps: Mapping[str, int]) -> str:
    """Format the results as Markdown; the seconds in the papers are those of VGG16 on a K40."""
    papers = {"rcnn": "47.0 without", "fast_rcnn": "0.32 without", "faster_rcnn": "0.20 with"}
    lines = [
        "| | VOC07 mAP | over the one before | training, min | s/image | proposals | features | heads | speedup "
        "| s in the papers |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    first = next(iter(rows.values()))
    for kind, row in rows.items():
        times, ratio = row.times, first.times.total / row.times.total
        numbers = (times.total, times.proposals, times.features, times.heads)
        cells = " | ".join(f"{seconds:.3f}" for seconds in numbers)
        gain = "" if row.gain is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*row.gain)
        lines.append(
            f"| {NAMES[kind]} | {row.mean_ap:.3f} | {gain} | {row.minutes:.1f} | {cells} | {ratio:.1f} "
            f"| {papers[kind]} |"
        )
    search = f"; selective search took another {search_seconds / 60:.1f} minutes" if search_seconds else ""
    note = (
        f"One image in {steps['train']} of train, one in {steps['val']} of val{search}. Differences have 95% intervals "
        "of a paired bootstrap over the images, which do not hold what another seed would change. s/image is without "
        "decoding and resizing."
    )
    return "\n".join([*lines, "", note, ""])


if __name__ == "__main__":
    run_command(main, "compare_generations")
