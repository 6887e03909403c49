"""The sanity check of Adebayo et al. 2018 (arXiv:1810.03292): a map that random weights leave as it is explains the
image, not the network.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from detect.bench.explaining_cases import ExplanationCase
from detect.explain.attribution.target import attribution_targets
from detect.inference.predictor import Predictor
from detect.models.detector import Detector
from detect.system.randomness import numpy_generator
from detect.types import Images


def randomize(detector: Detector) -> Detector:
    """Return a copy whose weights (tensors of two or more dimensions) are drawn anew.

    They are normal with the mean 0 and the standard deviation of the trained ones, so that signals keep their scale;
    biases and normalization stay.
    """
    random = copy.deepcopy(detector)
    with torch.no_grad():
        for name, weight in random.named_parameters():
            if weight.dim() > 1:
                draw = numpy_generator("random weights", 0, name).standard_normal(tuple(weight.shape), np.float32)
                weight.copy_(torch.from_numpy(draw) * weight.float().std().item())
    return random


def randomized_cases(
    predictor: Predictor, detector: Detector, cases: Sequence[ExplanationCase], images: Images
) -> list[ExplanationCase]:
    """Return the same detections, with their proposals pinned, as ``detector`` scores them."""
    detections = [case.target.detections[case.index] for case in cases]
    targets = attribution_targets(detector, images, detections, "score", predictor.compute.autocast)
    positions = [(target, i) for target in targets for i in range(len(target.detections))]
    return [replace(case, target=target, index=i) for case, (target, i) in zip(cases, positions, strict=True)]


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Spearman's correlation of two maps of the same shape, None where one is constant or not finite.

    Equal values share the mean of their ranks.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return None
    a, b = _ranks(first), _ranks(second)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else None


def _ranks(numbers: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(numbers.ravel(), return_inverse=True, return_counts=True)
    ranks: np.ndarray = (counts.cumsum() - (counts - 1) / 2)[inverse]
    return ranks
