"""What explanations have to reach beside those of pytorch-grad-cam, and what they may cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from detect.bench.gradcam_peer import GRADCAM
from detect.bench.timing import timed, time_interleaved
from detect.explain.attribution.gradients import saliency
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.attribution.target import AttributionTarget

MAX_RELATIVE_LEAKAGE = 1 / 3  # of Grad-CAM's, at most
TURNS = 3


@dataclass(frozen=True)
class MethodMeans:
    """Of one method over all detections, as the columns of the table; None where nothing was measured.

    seconds: a detection.
    """

    energy: float | None
    pointing: float | None
    insertion_minus_deletion: float | None
    leakage: float | None
    correlation: float | None
    seed_std: float | None
    seconds: float | None


def targets_reached(ours: Mapping[str, MethodMeans], theirs: Mapping[str, MethodMeans]) -> list[str]:
    """A sentence for each bar, and one that names the methods of ours that reach all of them."""
    energy = max(own.energy or 0.0 for own in theirs.values())
    gain = max(own.insertion_minus_deletion or 0.0 for own in theirs.values())
    leakage = theirs[GRADCAM].leakage
    reached = [
        {name for name, own in ours.items() if (own.energy or 0.0) > energy},
        {name for name, own in ours.items() if (own.insertion_minus_deletion or 0.0) > gain},
        {name for name, own in ours.items() if leakage is None or (own.leakage or 0.0) <= MAX_RELATIVE_LEAKAGE * leakage},
    ]
    most = "nothing was measured" if leakage is None else f"{MAX_RELATIVE_LEAKAGE * leakage:.3f}"
    wanted = (
        f"mask energy above pytorch-grad-cam's, {energy:.3f}",
        f"insertion - deletion above pytorch-grad-cam's, {gain:.3f}",
        f"leakage at most a third of its Grad-CAM's: {most}",
    )
    lines = [f"{told}: {_reached_by(ours, names)}" for told, names in zip(wanted, reached, strict=True)]
    return [*lines, f"all three: {_reached_by(ours, set.intersection(*reached))}"]


def saliency_cost(view: AttributionTarget) -> float:
    """Seconds of saliency for each detection of the view over those of one forward and backward pass."""
    choice = MethodOptions(no_progress)

    def once() -> None:
        pixels = view.pixels.detach().requires_grad_()
        torch.autograd.grad(view.objective(pixels).sum(), pixels)

    timings = time_interleaved({"saliency": timed(lambda: saliency(view, choice)), "once": timed(once)}, TURNS)
    return timings["saliency"].median / timings["once"].median / len(view.detections)


def _reached_by(ours: Mapping[str, MethodMeans], names: set[str]) -> str:
    """Those that reached it, in the table's order."""
    return f"reached by {', '.join(name for name in ours if name in names)}" if names else "MISSED by all"
