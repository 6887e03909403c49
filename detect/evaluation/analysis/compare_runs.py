"""Comparison of two runs on the same images: the difference in AP, its confidence interval, the images that differ.

The tables for the terminal are in evaluation/score_tables.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detect.evaluation.analysis.bootstrap import Interval, mean_aps, percentile_interval, sample_weights, weighted_aps
from detect.evaluation.analysis.image_counts import ImageCounts, best_thresholds, count_per_image
from detect.evaluation.analysis.matches import Matches
from detect.evaluation.columns import FloatArray

MAX_IMAGES = 20  # that are listed


@dataclass(frozen=True)
class Difference:
    """The AP of the second run minus that of the first, with its 95% interval.

    second_better: the fraction of bootstrap samples in which the second AP is higher; equal APs count half.
    """

    interval: Interval
    second_better: float

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"value", "interval": [low, high], "second_better"}``."""
        ends = [self.interval.low, self.interval.high]
        return {"value": self.interval.value, "interval": ends, "second_better": self.second_better}


@dataclass(frozen=True)
class ImageCount:
    """The numbers of true positives, false positives and missed objects (false negatives) of one image."""

    true_positives: int
    false_positives: int
    false_negatives: int

    def to_dict(self) -> dict[str, int]:
        """Return ``{"found", "false", "missed"}``."""
        return {"found": self.true_positives, "false": self.false_positives, "missed": self.false_negatives}


@dataclass(frozen=True)
class ImageDifference:
    """An image, named by its path, on which two runs differ."""

    file: str
    first: ImageCount
    second: ImageCount

    @property
    def error_reduction(self) -> int:
        """The errors (false positives and missed objects) of the first run minus those of the second."""
        return (
            self.first.false_positives
            + self.first.false_negatives
            - self.second.false_positives
            - self.second.false_negatives
        )


@dataclass(frozen=True)
class RunComparison:
    """The difference of two runs.

    mAP, per_class: of the mean AP, and of the AP of the classes that both runs have (None where there is no ground
    truth); images: those whose numbers of errors differ most, the largest difference first; replicates: the number of
    bootstrap samples.
    """

    mAP: Difference | None  # noqa: N815  the field's own spelling
    per_class: dict[str, Difference | None]
    images: tuple[ImageDifference, ...]
    replicates: int

    def to_dict(self, primary: str) -> dict[str, Any]:
        """Return ``{primary: difference, "per_class": {name: difference}, "images": [{"file", "first", "second"}],
        "replicates"}``; primary: the metric's name of the mean AP, mAP or AP.
        """
        return {
            primary: None if self.mAP is None else self.mAP.to_dict(),
            "per_class": {
                name: None if difference is None else difference.to_dict()
                for name, difference in self.per_class.items()
            },
            "images": [
                {"file": image.file, "first": image.first.to_dict(), "second": image.second.to_dict()}
                for image in self.images
            ],
            "replicates": self.replicates,
        }


def compare_runs(
    first: Matches, second: Matches, files: Sequence[str], replicates: int = 1000, seed: int = 0
) -> RunComparison:
    """Compare two runs by a paired bootstrap: both are scored on the same samples of images.

    Images that are hard for one run are hard for the other, so that the difference is more certain than either AP.

    first and second: of the same images by the same rules; their classes may differ in order, and one may have more.
    files: the path of each image. On single images each run is cut off, by class, at its score of best F1. Raises
    ValueError where the numbers of images differ.
    """
    num_images = len(files)
    if not len(first.images) == len(second.images) == num_images:
        raise ValueError(
            f"expected two runs of {num_images} images, found {len(first.images)} and {len(second.images)}"
        )
    ones, weights = np.ones((num_images, 1), np.int32), sample_weights(num_images, replicates, seed)
    aps = [weighted_aps(run, ones)[0] for run in (first, second)]
    sample_aps = [weighted_aps(run, weights) for run in (first, second)]
    per_class = {}
    for k, name in enumerate(first.classes):
        if name in second.classes:
            j = second.classes.index(name)
            per_class[name] = _difference(aps[1][j] - aps[0][k], sample_aps[1][:, j] - sample_aps[0][:, k])
    mean_first, mean_second = (mean_aps(run_aps[None])[0] for run_aps in aps)
    return RunComparison(
        mAP=_difference(mean_second - mean_first, mean_aps(sample_aps[1]) - mean_aps(sample_aps[0])),
        per_class=per_class,
        images=_most_different(_counts_at_best_f1(first), _counts_at_best_f1(second), files),
        replicates=replicates,
    )


def _difference(difference: float, samples: FloatArray) -> Difference | None:
    """Return the difference with its interval from the differences in the samples (B,), None where it is NaN."""
    interval = percentile_interval(difference, samples)
    if interval is None:
        return None
    valid = samples[~np.isnan(samples)]
    return Difference(interval, float((valid > 0).mean() + (valid == 0).mean() / 2))


def _counts_at_best_f1(run: Matches) -> ImageCounts:
    return count_per_image(run, best_thresholds(run))


def _most_different(first: ImageCounts, second: ImageCounts, files: Sequence[str]) -> tuple[ImageDifference, ...]:
    """Return the images whose numbers of errors differ most, MAX_IMAGES at most."""
    differences = np.abs(first.errors - second.errors)
    ranked = np.argsort(-differences, kind="stable")[:MAX_IMAGES]
    return tuple(
        ImageDifference(files[image], _image_count(first, image), _image_count(second, image))
        for image in ranked[differences[ranked] > 0].tolist()
    )


def _image_count(counts: ImageCounts, image: int) -> ImageCount:
    return ImageCount(
        int(counts.true_positives[image]), int(counts.false_positives[image]), int(counts.false_negatives[image])
    )
