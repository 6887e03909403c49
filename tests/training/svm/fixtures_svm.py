"""Made-up features of images with regions: each class has a direction of its own, so that it can be learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.training.svm.examples import RegionLabels, RegressionExamples

CLASSES, LENGTH = 3, 24


@dataclass(frozen=True)
class SvmData:
    """The regions of images: features (P, LENGTH) fp16, the labels and the regression examples of each image."""

    features: list[NDArray[np.float16]]
    region_labels: list[RegionLabels]
    examples: list[RegressionExamples]


def make_svm_data(images: int, regions: int = 60, seed: int = 0, absent: int | None = None) -> SvmData:
    """Draw images with an object or two, every seventh one without regions; ``absent``: a class without objects."""
    random = np.random.default_rng(seed)
    directions = random.standard_normal((CLASSES, LENGTH))
    present = [label for label in range(1, CLASSES + 1) if label != absent]
    dataset = SvmData([], [], [])
    for image in range(images):
        objects = [] if image % 7 == 6 else random.choice(present, random.integers(1, 3)).tolist()
        count = 0 if image % 7 == 6 else len(objects) + int(random.integers(regions // 2, regions))
        overlaps = np.zeros((count, CLASSES), np.float32)
        labels = np.zeros(count, np.int64)
        labels[: len(objects)] = objects
        for label in objects:
            overlaps[:, label - 1] = np.maximum(overlaps[:, label - 1], random.beta(0.6, 2, count))
        overlaps[labels > 0, labels[labels > 0] - 1] = 1.0
        noise = random.standard_normal((count, LENGTH))
        features = np.maximum(noise + 1.5 * overlaps @ directions, 0).astype(np.float16)
        best = overlaps.argmax(1) + 1 if count else np.zeros(0, np.int64)
        rows = (overlaps.max(1) >= 0.6).nonzero()[0] if count else np.zeros(0, np.int64)
        deltas = 0.1 * features[rows, :4].astype(np.float64) + 0.02 * random.standard_normal((len(rows), 4)) - 0.3
        dataset.features.append(features)
        dataset.region_labels.append(RegionLabels(overlaps, labels))
        dataset.examples.append(RegressionExamples(rows, best[rows], deltas))
    return dataset
