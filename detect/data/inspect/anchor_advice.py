"""Suggests anchors that suit a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from detect.data.inspect.anchor_recall import ScaledObjects, best_anchor_iou
from detect.ops.anchors import AnchorGenerator
from detect.system.randomness import numpy_generator

_MAX_ITERATIONS = 100
_MAX_OBJECTS = 3000  # a search over more objects takes longer and ends within 1% of the same anchors
_STEP_FACTORS = (1.25, 1.1, 1.03)  # by which one size or one ratio is changed at a time

SizesAndRatios = tuple[tuple[float, ...], tuple[float, ...]]  # sizes, aspect ratios


def suggest_anchors(
    objects: ScaledObjects, start: AnchorGenerator, stride: int, allowed_border: float | None, num_sizes_and_ratios: int
) -> AnchorGenerator:
    """Return anchors for a single feature map: ``num_sizes_and_ratios`` sizes (whole pixels) and as many aspect ratios.

    There are fewer if clusters coincide. This is a local search for the anchors with the best recall. It starts from
    clusters of the objects, and from ``start`` if it has as many anchors, so that the anchors it returns have no lower
    recall than ``start``. (k-means on boxes by IoU, as in YOLOv2, gives pairs that are not a product of sizes and
    ratios.) Every class has the same weight, as in mAP. allowed_border: as in ``best_anchor_iou``.
    """
    chosen = numpy_generator("advised anchors").permutation(len(objects.boxes))[:_MAX_OBJECTS]
    sample = ScaledObjects(objects.boxes[chosen], objects.image_sides[chosen], objects.labels[chosen])
    weights = 1 / np.bincount(sample.labels)[sample.labels]

    def score(anchors: SizesAndRatios) -> float:
        generator = replace(start, sizes=(anchors[0],), aspect_ratios=anchors[1])
        iou = best_anchor_iou(sample, generator, [stride], allowed_border)
        return float(((iou + (iou >= 0.5) + (iou >= 0.7)) * weights).sum())

    starts = [_cluster_boxes(sample, num_sizes_and_ratios)]
    if len(start.sizes) == 1 and len(start.sizes[0]) == len(start.aspect_ratios) == num_sizes_and_ratios:
        starts.append((start.sizes[0], start.aspect_ratios))
    best = max(starts, key=score)
    best_score = score(best)
    for step in _STEP_FACTORS:
        improved = True
        while improved:
            improved = False
            for candidate in _neighbors(best, step):
                if (candidate_score := score(candidate)) > best_score * (1 + 1e-3):
                    best, best_score, improved = candidate, candidate_score, True
    return replace(start, sizes=(best[0],), aspect_ratios=best[1])


def _neighbors(anchors: SizesAndRatios, step: float) -> Iterator[SizesAndRatios]:
    """Yield the anchors with one size or one ratio larger or smaller by the factor ``step``."""
    sizes, ratios = anchors
    for factor in (step, 1 / step):
        for i, size in enumerate(sizes):
            yield tuple(sorted({*_with_element(sizes, i, max(1.0, round(size * factor)))})), ratios
        for i, ratio in enumerate(ratios):
            yield sizes, tuple(sorted({*_with_element(ratios, i, max(0.01, round(ratio * factor, 2)))}))


def _with_element(elements: Sequence[float], index: int, replacement: float) -> list[float]:
    return [replacement if i == index else element for i, element in enumerate(elements)]


def _cluster_boxes(objects: ScaledObjects, num_sizes_and_ratios: int) -> SizesAndRatios:
    """Return the means of clusters of sizes and of ratios.

    They are clustered by logarithm, because an anchor twice too large has the same IoU as one twice too small.
    """
    width, height = (objects.boxes[:, 2:] - objects.boxes[:, :2]).T
    sizes = np.exp(_cluster_means(np.log(width * height) / 2, num_sizes_and_ratios))
    ratios = np.exp(_cluster_means(np.log(height / width), num_sizes_and_ratios))
    return (
        tuple(sorted({max(1.0, float(np.rint(size))) for size in sizes})),
        tuple(sorted({max(0.01, round(float(ratio), 2)) for ratio in ratios})),
    )


def _cluster_means(values: np.ndarray, num_clusters: int) -> np.ndarray:
    """Return the means of at most ``num_clusters`` clusters of values (T,), by k-means from evenly spaced quantiles."""
    means = np.unique(np.quantile(values, (np.arange(num_clusters) + 0.5) / num_clusters))
    for _ in range(_MAX_ITERATIONS):
        nearest = np.abs(values[:, None] - means).argmin(1)
        new_means = np.asarray([values[nearest == i].mean() for i in range(len(means)) if (nearest == i).any()])
        if len(new_means) == len(means) and np.allclose(new_means, means):
            break
        means = new_means
    return np.asarray(means)
