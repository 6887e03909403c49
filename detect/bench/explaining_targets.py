"""The targets that explanations must meet by their intervals, and the cost of saliency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from detect.bench.explaining_intervals import REPLICATES, mean_difference
from detect.bench.explaining_records import PhotoScores
from detect.bench.explaining_scores import ENERGY, GAIN, LEAKAGE
from detect.bench.result_tables import BenchmarkTable
from detect.bench.timing import time_interleaved, timed
from detect.evaluation.analysis.bootstrap import MIN_IMAGES, Interval
from detect.explain.attribution.gradients import saliency
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.attribution.target import AttributionTarget

REPEATS = 3
TARGETS = ("leakage below the flat box's", "mask energy above every peer's", "insertion - deletion above every peer's")
SIGNS = (-1, 1, 1)  # of the difference that meets the target
COLUMNS = (
    "method",
    "leakage - flat box's",
    "mask energy - best peer's",
    "insertion - deletion - best peer's",
    "targets met",
)


def targets_table(
    photos: Sequence[PhotoScores], names: Sequence[str], flat_box: str, peers: Sequence[str], command: str
) -> BenchmarkTable:
    """Return the paired differences of each method ``names``: from ``flat_box`` in leakage, from ``peers`` elsewhere.

    A target is met if the whole interval is on its side of 0; of the peers the best is shown, from which the difference
    has the lowest lower end, so that the difference from every other one is above 0 too. Without an interval a target
    is not judged.
    """
    rows, best_peers = [], []
    met: dict[str, tuple[bool | None, ...]] = {}
    for name in names:
        best = {column: _best_peer(photos, name, peers, column) for column in (ENERGY, GAIN)}
        differences = (
            _difference(photos, name, flat_box, LEAKAGE),
            *(_difference(photos, name, peer, column) for column, peer in best.items()),
        )
        met[name] = tuple(map(_is_met, differences, SIGNS))
        num_judged = len(TARGETS) - met[name].count(None)
        rows.append((name, *differences, f"{met[name].count(True)} of {num_judged}"))
        best_peers += [f"{name}: {peer} in {column}" for column, peer in best.items() if peer is not None]
    all_met = {name: _all_met(of_name) for name, of_name in met.items()}
    notes = [
        f"differences over the same detections, with 95% intervals from {REPLICATES} bootstrap samples of the images; "
        "a target is met where the whole interval is on its side of 0, and not judged where fewer than "
        f"{MIN_IMAGES} images have values. The best of the "
        f"{len(peers)} peers is that from which the difference has the lowest lower end, or is lowest itself.",
        *([f"best peers: {'; '.join(best_peers)}"] if best_peers else []),
        *(f"{target}: {_met_by({name: met[name][i] for name in names})}" for i, target in enumerate(TARGETS)),
        f"all three: {_met_by(all_met)}",
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


def _difference(photos: Sequence[PhotoScores], first: str, second: str | None, column: str) -> Interval | float | None:
    if second is None:
        return None
    ours, theirs = ([scores.values[name][column] for scores in photos] for name in (first, second))
    return mean_difference(ours, theirs)


def _best_peer(photos: Sequence[PhotoScores], name: str, peers: Sequence[str], column: str) -> str | None:
    """Return the peer from which the difference has the lowest lower end; None without peers or detections."""
    differences = {peer: _difference(photos, name, peer, column) for peer in peers}
    measured = {peer: _lower_end(difference) for peer, difference in differences.items() if difference is not None}
    return min(measured, key=measured.__getitem__, default=None)


def _lower_end(difference: Interval | float) -> float:
    """Return the lower end of the interval, or the difference itself where there is none."""
    return difference.low if isinstance(difference, Interval) else difference


def _is_met(difference: Interval | float | None, sign: int) -> bool | None:
    """Return whether the whole interval is above 0, or for the sign -1 below it; None without an interval."""
    if not isinstance(difference, Interval):
        return None
    return difference.low > 0 if sign > 0 else difference.high < 0


def _all_met(met: Sequence[bool | None]) -> bool | None:
    """Return whether all targets are met; None where those that were judged are, and others were not judged."""
    return False if False in met else None if None in met else True


def _met_by(met: Mapping[str, bool | None]) -> str:
    names = [name for name, is_met in met.items() if is_met]
    if names:
        return f"met by {', '.join(names)}"
    if all(is_met is None for is_met in met.values()):
        return "not judged"
    return "missed by all that were judged" if None in met.values() else "missed by all"
