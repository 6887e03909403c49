"""The targets that explanations must meet, relative to those of pytorch-grad-cam, and their cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from detect.bench.gradcam_peer import GRADCAM
from detect.bench.timing import time_interleaved, timed
from detect.explain.attribution.gradients import saliency
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.attribution.target import AttributionTarget

MAX_RELATIVE_LEAKAGE = 1 / 3  # of Grad-CAM's
REPEATS = 3


@dataclass(frozen=True)
class MethodMeans:
    """The means of one method over all detections, in the order of the table's columns.

    None where nothing was measured; seconds: of one detection.
    """

    energy: float | None
    pointing: float | None
    insertion_minus_deletion: float | None
    leakage: float | None
    correlation: float | None
    seed_std: float | None
    seconds: float | None


def targets_met(ours: Mapping[str, MethodMeans], theirs: Mapping[str, MethodMeans]) -> list[str]:
    """Return a sentence for each target, and one that names the methods of ours that meet all targets."""
    energy = max(means.energy or 0.0 for means in theirs.values())
    gain = max(means.insertion_minus_deletion or 0.0 for means in theirs.values())
    leakage = theirs[GRADCAM].leakage
    methods_of_targets = [
        {name for name, means in ours.items() if (means.energy or 0.0) > energy},
        {name for name, means in ours.items() if (means.insertion_minus_deletion or 0.0) > gain},
        {
            name
            for name, means in ours.items()
            if leakage is None or (means.leakage or 0.0) <= MAX_RELATIVE_LEAKAGE * leakage
        },
    ]
    max_leakage = "nothing was measured" if leakage is None else f"{MAX_RELATIVE_LEAKAGE * leakage:.3f}"
    targets = (
        f"mask energy above pytorch-grad-cam's, {energy:.3f}",
        f"insertion - deletion above pytorch-grad-cam's, {gain:.3f}",
        f"leakage at most a third of its Grad-CAM's: {max_leakage}",
    )
    lines = [f"{target}: {_met_by(ours, names)}" for target, names in zip(targets, methods_of_targets, strict=True)]
    return [*lines, f"all three: {_met_by(ours, set.intersection(*methods_of_targets))}"]


def saliency_cost(target: AttributionTarget) -> float:
    """Return the seconds of saliency for a detection of the target, over those of one forward and backward pass."""
    options = MethodOptions(no_progress)

    def forward_and_backward() -> None:
        pixels = target.pixels.detach().requires_grad_()
        torch.autograd.grad(target.objective(pixels).sum(), pixels)

    variants = {"saliency": timed(lambda: saliency(target, options)), "single pass": timed(forward_and_backward)}
    timings = time_interleaved(variants, REPEATS)
    return timings["saliency"].median / timings["single pass"].median / len(target.detections)


def _met_by(ours: Mapping[str, MethodMeans], names: set[str]) -> str:
    """Return the names of the methods that meet a target, in the table's order."""
    return f"met by {', '.join(name for name in ours if name in names)}" if names else "missed by all"
