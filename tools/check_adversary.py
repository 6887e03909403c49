#!/usr/bin/env python3
"""Measure what an adversary's masks cost the true class, beside random masks of equal area and the hardest window.

    python tools/check_adversary.py runs/asdn/2-adversary --json adversary.json

RUN is a stage or a run of the recipe adversarial with asdn or both. The regions are the foreground samples of the
validation images, on which the adversary was not trained. Every interval is 95%, by a bootstrap over the images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detect.checkpoints.adversary import load_adversary
from detect.cli.exit_status import run_command
from detect.config.builders.data import load_split_for_model
from detect.config.builders.proposals import proposals_for_evaluation
from detect.config.builders.resolve import SplitKey
from detect.config.heads import AdversaryConfig
from detect.data.loading.loader import evaluation_loader
from detect.errors import UserError
from detect.evaluation.analysis.bootstrap import Interval, percentile_interval
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.models.adversaries.adversary import Adversary, true_class_probability
from detect.models.slots import Stage
from detect.ops.region_masks import cell_counts, draw_cells, hardest_windows, hide
from detect.system import randomness
from detect.system.files import write_text

REPLICATES = 1000
FloatArray = NDArray[np.float64]


@click.command(help=__doc__)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["train", "val"]), default="val", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the masks and of the bootstrap.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the intervals to this file.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the data.")
def main(run: Path, split: SplitKey, seed: int, json_file: Path | None, settings: tuple[str, ...]) -> None:
    """Print what each kind of mask costs, and what the adversary's cost more than the random ones."""
    predictor = load(run, overrides=settings)
    adversary = load_adversary(predictor.file).to(predictor.compute.device)
    drops = list(image_drops(predictor, adversary, split, seed))
    num_regions = sum(len(image["random"]) for image in drops)
    if not num_regions:
        raise UserError(f"data.{split}: expected foreground regions, found none")
    print(f"{num_regions} foreground regions of {len(drops)} images; probability of the true class that a mask costs")
    intervals = {name: mean_interval([image[name] for image in drops], seed) for name in drops[0]}
    differences = [image["adversary"] - image["random"] for image in drops]
    intervals["adversary - random"] = mean_interval(differences, seed)
    for name, interval in intervals.items():
        print(f"{name}: {interval.value:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})")
    if json_file is not None:
        content = {name: asdict(interval) for name, interval in intervals.items()} | {"regions": num_regions}
        write_text(json_file, json.dumps(content, indent=1) + "\n")


def image_drops(
    predictor: Predictor, adversary: Adversary, split: SplitKey, seed: int
) -> Iterator[dict[str, FloatArray]]:
    """Yield for each image what each kind of mask costs each of its foreground samples, (F,) in -1..1."""
    config, detector, device = predictor.config, predictor.base_detector, predictor.compute.device
    annotations = load_split_for_model(config, split, predictor.classes)
    files = [annotations.file(index) for index in range(len(annotations))]
    folder = predictor.file.parent
    folder = folder if (folder / "proposals.npz").is_file() else folder.parent  # that of the run, for a stage
    proposals = proposals_for_evaluation(config.model, files, folder)
    batches = evaluation_loader(annotations, predictor.preprocess, 1, config.data.workers, proposals)
    for batch in batches:
        if not len(batch.images):
            continue
        images, targets = batch.images.to(device), [target.to(device) for target in batch.targets]
        with torch.no_grad():
            maps = detector.backbone(images.pixels)
            proposed = detector.proposer(images, maps, detector.head_training.selection)
            (samples,) = detector.head_training.sampler.sample(proposed.proposals, targets, images.seeds)
            is_foreground = samples.labels > 0
            regional = detector.regions(images, maps, [samples.boxes[is_foreground]])
            yield region_drops(
                detector.head.stages[0],
                adversary,
                config.model.adversary,
                regional,
                samples.labels[is_foreground],
                randomness.hash_key(seed, batch.files[0]),
            )


def region_drops(
    stage: Stage, adversary: Adversary, settings: AdversaryConfig, regional: Tensor, labels: Tensor, seed: int
) -> dict[str, FloatArray]:
    """Return what each kind of mask costs regions (F, C, d, d) of the probability of their classes (F,): (F,) each.

    Raises UserError for an adversary that hides no cells.
    """
    scores = adversary.hiding(regional)
    if scores is None:
        raise UserError("RUN: expected model.adversary.type asdn or both, which hide cells, found another")
    count, side = len(regional), int(regional.shape[-1])
    num_candidates, num_dropped = cell_counts(side, settings.candidates, settings.dropped)
    of_adversary, at_random = (
        randomness.uniform(count * side**2, regional.device, seed, name).view(count, side**2)
        for name in ("first", "second")
    )

    def probability(maps: Tensor) -> Tensor:
        return true_class_probability(stage, maps, labels)

    masks = {
        "adversary": draw_cells(scores, of_adversary, num_candidates, num_dropped),
        "random": draw_cells(torch.zeros_like(scores), at_random, side**2, num_dropped),
        "hardest window": hardest_windows(probability, regional),
    }
    before = probability(regional)
    return {name: (before - probability(hide(regional, mask))).double().cpu().numpy() for name, mask in masks.items()}


def mean_interval(values_of_images: Sequence[FloatArray], seed: int) -> Interval:
    """Return the mean over all regions with its 95% interval, by a bootstrap over the images: regions of one are alike.

    A sample of images without any region is left out. Raises ValueError without regions.
    """
    sums = np.array([values.sum() for values in values_of_images])
    counts = np.array([len(values) for values in values_of_images])
    if not counts.sum():
        raise ValueError("values_of_images: expected regions, found none")
    drawn = randomness.numpy_generator(seed, "bootstrap").integers(0, len(sums), (REPLICATES, len(sums)))
    totals = counts[drawn].sum(1)
    means = sums[drawn].sum(1)[totals > 0] / totals[totals > 0]
    interval = percentile_interval(float(sums.sum() / counts.sum()), means)
    assert interval is not None
    return interval


if __name__ == "__main__":
    run_command(main, "check_adversary")
