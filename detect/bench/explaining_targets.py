"""The targets that explanations must meet by their intervals, and the cost of saliency."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detect.bench.explaining_intervals import REPLICATES, difference_interval
from detect.bench.explaining_records import PhotoScores
from detect.bench.explaining_scores import ENERGY, GAIN, LEAKAGE
from detect.bench.result_tables import BenchmarkTable
from detect.bench.timing import time_interleaved, timed
from detect.evaluation.analysis.bootstrap import Interval
from detect.explain.attribution.gradients import saliency
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.attribution.target import AttributionTarget

REPEATS = 3
TARGETS = ("leakage below the flat box's", "mask energy above every peer's", "insertion - deletion above every peer's")
COLUMNS = (
    "method",
    "leakage - flat box's",
    "mask energy - nearest peer's",
    "insertion - deletion - nearest peer's",
    "targets met",
)


def targets_table(
    photos: Sequence[PhotoScores], names: Sequence[str], flat_box: str, peers: Sequence[str], command: str
) -> BenchmarkTable:
    """Return the paired differences of each method ``names``: from ``flat_box`` in leakage, from ``peers`` elsewhere.

    A target is met if the whole interval is on its side of 0; of the peers the nearest is shown, that with the lowest
    lower end, so that the difference from every other one is above 0 too.
    """
    rows, met = [], {}
    for name in names:
        leakage = _difference(photos, name, flat_box, LEAKAGE)
        energy, gain = (_nearest_difference(photos, name, peers, column) for column in (ENERGY, GAIN))
        met[name] = (_is_below(leakage), _is_above(energy), _is_above(gain))
        rows.append((name, leakage, energy, gain, f"{sum(met[name])} of {len(TARGETS)}"))
    notes = [
        f"differences over the same detections, with 95% intervals from {REPLICATES} bootstrap samples of the images; "
        "a target is met where the whole interval is on its side of 0. The nearest of the "
        f"{len(peers)} peers is that with the lowest lower end.",
        *(f"{target}: {_met_by([name for name in names if met[name][i]])}" for i, target in enumerate(TARGETS)),
        f"all three: {_met_by([name for name in names if all(met[name])])}",
    ]
    return BenchmarkTable("Targets", command, COLUMNS, tuple(rows), tuple(notes))


def saliency_cost(target: AttributionTarget) -> float:
    """Return the seconds of saliency for a detection of the target, over those of one forward and backward pass."""
    options = MethodOptions(no_progress)

    def forward_and_backward() -> None:
        pixels = target.pixels.detach().requires_grad_()
        torch.autograd.grad(target.objective(pixels).sum(), pixels)

    variants = {"saliency": timed(lambda: saliency(target, options)), "single pass": timed(forward_and_backward)}
    timings = time_interleaved(variants, REPEATS)
    return timings["saliency"].median / timings["single pass"].median / len(target.detections)


def _difference(photos: Sequence[PhotoScores], first: str, second: str, column: str) -> Interval | None:
    ours, theirs = ([scores.values[name][column] for scores in photos] for name in (first, second))
    return difference_interval(ours, theirs)


def _nearest_difference(photos: Sequence[PhotoScores], name: str, peers: Sequence[str], column: str) -> Interval | None:
    """Return the difference from the peer from which it has the lowest lower end; None without peers or detections."""
    differences = [_difference(photos, name, peer, column) for peer in peers]
    return min((each for each in differences if each is not None), key=lambda each: each.low, default=None)


def _is_below(difference: Interval | None) -> bool:
    return difference is not None and difference.high < 0


def _is_above(difference: Interval | None) -> bool:
    return difference is not None and difference.low > 0


def _met_by(names: Sequence[str]) -> str:
    return f"met by {', '.join(names)}" if names else "missed by all"
