"""Box regressors against the paper's own steps: whiten, solve least squares with a penalty, take back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from detect.training.svm import ridge
from detect.training.svm.examples import BoxExamples
from detect.training.svm.ridge import fit_regressor
from tests.training.svm.world import LENGTH, World, world

STDS = (0.1, 0.1, 0.2, 0.2)
SCALE = 3.0


def fitted(found: World, label: int, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
    return fit_regressor(found.features, found.boxes, label, LENGTH, SCALE, STDS, penalty)


def of_class(found: World, label: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The features and deltas of a class's examples."""
    pairs = list(zip(found.features, found.boxes, strict=True))
    rows = [features[one.rows[one.labels == label]] for features, one in pairs]
    return np.concatenate(rows).astype(np.float64), np.concatenate(
        [one.deltas[one.labels == label] for _, one in pairs]
    )


def as_the_paper(
    features: NDArray[np.float64], targets: NDArray[np.float64], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight (LENGTH, 4) and bias (4,) by whitened targets, and by lstsq with rows that stand for the penalty."""
    mean = targets.mean(0)
    centred = targets - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    whiten = vectors @ np.diag(1 / np.sqrt(values + 0.001)) @ vectors.T
    rows = np.pad(features * SCALE, ((0, 0), (0, 1)), constant_values=1)
    padded = np.concatenate([rows, np.sqrt(penalty) * np.eye(rows.shape[1])])
    right = np.concatenate([centred @ whiten, np.zeros((rows.shape[1], 4))])
    solution = np.linalg.lstsq(padded, right, rcond=None)[0] @ np.linalg.inv(whiten)
    return solution[:-1] * SCALE, solution[-1] + mean


def test_a_class_without_examples_moves_no_box() -> None:
    for found in (world(0), world(7, absent=2)):
        weight, bias = fitted(found, 2, 1000.0)
        assert weight.shape == (4, LENGTH)
        assert not weight.any()
        assert not bias.any()


@pytest.mark.parametrize("photos", [1, 4, 60])  # fewer examples than features, and more
@pytest.mark.parametrize("penalty", [1.0, 1000.0])
@pytest.mark.parametrize("batch", [1, 50, 512])
def test_deltas_are_those_of_the_paper(
    images: int, penalty: float, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "_BATCH", batch)
    found = world(images, seed=images)
    for label in {int(label) for one in found.boxes for label in one.labels}:
        features, targets = of_class(found, label)
        expected_weight, expected_bias = as_the_paper(features, targets, penalty)
        weight, bias = fitted(found, label, penalty)
        np.testing.assert_allclose(weight.T * torch.tensor(STDS), expected_weight, atol=1e-6)
        np.testing.assert_allclose(bias * torch.tensor(STDS), expected_bias, atol=1e-6)


def test_both_ways_of_solving_are_tried() -> None:
    counts = [len(of_class(world(images, seed=images), 1)[0]) for images in (4, 60)]
    assert 0 < counts[0] <= LENGTH < counts[1]


def test_both_ways_agree() -> None:
    random = torch.Generator().manual_seed(0)
    rows, targets = (torch.randn(30, width, dtype=torch.float64, generator=random) for width in (20, 4))
    by_features = ridge._by_features(iter(rows.split(7)), targets, 20, 3.0)
    torch.testing.assert_close(by_features, ridge._by_examples(iter(rows.split(7)), targets, 20, 3.0))


def test_what_can_be_learned_is_learned() -> None:
    found = world(60)
    features, targets = of_class(found, 1)
    weight, bias = fitted(found, 1, 1.0)
    predicted = (torch.from_numpy(features).float() @ weight.T + bias).numpy() * np.array(STDS)
    assert np.abs(predicted - targets).std() < 0.25 * targets.std()


def test_examples_of_other_classes_say_nothing() -> None:
    found = world(20)
    others = [
        BoxExamples(one.rows, one.labels, np.where(one.labels[:, None] == 1, one.deltas, 9.0)) for one in found.boxes
    ]
    weight, bias = fitted(found, 1, 10.0)
    other_weight, other_bias = fitted(World(found.features, found.roles, others), 1, 10.0)
    assert torch.equal(weight, other_weight)
    assert torch.equal(bias, other_bias)
