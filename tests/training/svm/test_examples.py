"""Roles of regions, examples for box regressors, and the scale of features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detect.ops import boxes as box_ops
from detect.training.svm.examples import feature_scale, label_regions, regression_examples
from detect.types import Targets

SQUARE = (0.0, 0, 10, 10)


def targets(*rows: tuple[tuple[float, float, float, float], int, bool]) -> Targets:
    """Rows of box, label, crowd."""
    boxes = torch.tensor([box for box, _, _ in rows], dtype=torch.float32).reshape(-1, 4)
    crowd = torch.tensor([crowd for _, _, crowd in rows], dtype=torch.bool)
    labels = torch.tensor([label for _, label, _ in rows], dtype=torch.int64)
    return Targets(boxes, labels, torch.zeros_like(crowd), crowd)


def regions(truth: Targets, *proposals: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.cat([truth.boxes, torch.tensor(proposals, dtype=torch.float32).reshape(-1, 4)])


@pytest.mark.parametrize(
    ("truth", "proposals", "overlaps", "labels"),
    [
        pytest.param(targets(), [], [], [], id="nothing"),
        pytest.param(targets(), [SQUARE], [[0, 0]], [0], id="no object"),
        pytest.param(
            targets((SQUARE, 2, False)),
            [(0, 0, 10, 5), (5, 0, 15, 10), (20, 20, 30, 30)],
            [[0, 1], [0, 0.5], [0, 1 / 3], [0, 0]],
            [2, 0, 0, 0],
            id="an object's own box comes first",
        ),
        pytest.param(
            targets((SQUARE, 1, False), ((0, 0, 10, 5), 1, False), ((0, 0, 10, 5), 2, False)),
            [(0, 0, 10, 4)],
            [[1, 0.5], [1, 1], [1, 1], [0.8, 0.8]],
            [1, 1, 2, 0],
            id="of several objects of a class the nearest",
        ),
        pytest.param(
            targets(((0, 0, 100, 100), 1, True)),
            [SQUARE, (95, 0, 105, 10)],
            [[1, 0], [1, 0], [0.5, 0]],
            [0, 0, 0],
            id="what lies in a crowd is near, and no example",
        ),
    ],
)
def test_label_regions_equals_values_by_hand(
    truth: Targets,
    proposals: list[tuple[float, float, float, float]],
    overlaps: list[list[float]],
    labels: list[int],
) -> None:
    region_labels = label_regions(regions(truth, *proposals), truth, 2)
    np.testing.assert_allclose(region_labels.overlaps, np.array(overlaps).reshape(-1, 2), atol=1e-6)
    assert region_labels.labels.tolist() == labels


@pytest.mark.parametrize(
    ("truth", "proposals", "rows", "labels"),
    [
        pytest.param(targets(), [], [], [], id="nothing"),
        pytest.param(targets(), [SQUARE], [], [], id="no object"),
        pytest.param(targets((SQUARE, 1, True)), [SQUARE], [], [], id="a crowd is no example"),
        pytest.param(
            targets((SQUARE, 2, False)), [(0, 0, 10, 6), (0, 0, 10, 5.9)], [0, 1], [2, 2], id="0.6 is enough, 0.59 not"
        ),
        pytest.param(
            targets(((0, 0, 100, 100), 1, True), (SQUARE, 2, False), ((0, 0, 10, 8), 1, False)),
            [(0, 0, 10, 8.5)],
            [1, 2, 3],
            [2, 1, 1],
            id="the best object is the one meant",
        ),
    ],
)
def test_regression_examples_equal_values_by_hand(
    truth: Targets, proposals: list[tuple[float, float, float, float]], rows: list[int], labels: list[int]
) -> None:
    boxes = regions(truth, *proposals)
    examples = regression_examples(boxes, truth)
    assert examples.rows.tolist() == rows
    assert examples.labels.tolist() == labels
    if rows:
        moved = box_ops.decode(torch.from_numpy(examples.deltas), boxes[rows].double(), (1.0, 1.0, 1.0, 1.0))
        best = box_ops.iou(boxes[rows], truth.boxes[~truth.crowd]).argmax(1)
        torch.testing.assert_close(moved.float(), truth.boxes[~truth.crowd][best])


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([], 1.0),
        ([np.zeros((0, 2), np.float16)], 1.0),
        ([np.zeros((3, 2), np.float16)], 1.0),
        ([np.array([[3.0, 4.0]], np.float16)], 4.0),
        ([np.array([[3.0, 4.0], [0, 3]], np.float32), np.zeros((0, 2), np.float32)], 5.0),
        ([np.full((5, 1), 200.0, np.float16)] * 9, 0.1),
    ],
)
def test_feature_scale_gives_mean_norm_of_20(features: list[np.ndarray], expected: float) -> None:
    assert feature_scale(features) == pytest.approx(expected)


def test_feature_scale_of_norms_equals_that_of_features() -> None:
    features = [np.random.default_rng(image).normal(size=(300, 7)) for image in range(4)]
    norms = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in features]
    assert feature_scale(norms) == pytest.approx(feature_scale(features))


def test_feature_scale_samples_images_and_regions_by_seed() -> None:
    features = [np.full((400, 1), image + 1.0, np.float32) for image in range(50)]
    scale, again, other = (feature_scale(features, seed, max_images=5, max_regions=3) for seed in (0, 0, 1))
    assert scale == again != other
    assert feature_scale(features) == pytest.approx(20 / 25.5)
