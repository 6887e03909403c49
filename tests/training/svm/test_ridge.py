"""Box regressors against the paper's own steps: whiten, solve least squares with a penalty, take back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from detect.training.svm import ridge
from detect.training.svm.examples import RegressionExamples
from detect.training.svm.ridge import fit_regressor
from tests.training.svm.fixtures_svm import LENGTH, SvmData, make_svm_data

STDS = (0.1, 0.1, 0.2, 0.2)
SCALE = 3.0


def fitted(data: SvmData, label: int, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
    return fit_regressor(data.features, data.examples, label, LENGTH, SCALE, STDS, penalty)


def examples_of_class(data: SvmData, label: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The features and deltas of a class's examples."""
    pairs = list(zip(data.features, data.examples, strict=True))
    rows = [features[one.rows[one.labels == label]] for features, one in pairs]
    return np.concatenate(rows).astype(np.float64), np.concatenate(
        [one.deltas[one.labels == label] for _, one in pairs]
    )


def fit_like_the_paper(
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


def test_fit_regressor_without_examples_is_zero() -> None:
    for data in (make_svm_data(0), make_svm_data(7, absent=2)):
        weight, bias = fitted(data, 2, 1000.0)
        assert weight.shape == (4, LENGTH)
        assert not weight.any()
        assert not bias.any()


@pytest.mark.parametrize("images", [1, 4, 60])  # fewer examples than features, and more
@pytest.mark.parametrize("penalty", [1.0, 1000.0])
@pytest.mark.parametrize("batch", [1, 50, 512])
def test_fit_regressor_equals_the_paper(
    images: int, penalty: float, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "_BATCH", batch)
    data = make_svm_data(images, seed=images)
    for label in {int(label) for one in data.examples for label in one.labels}:
        features, targets = examples_of_class(data, label)
        expected_weight, expected_bias = fit_like_the_paper(features, targets, penalty)
        weight, bias = fitted(data, label, penalty)
        np.testing.assert_allclose(weight.T * torch.tensor(STDS), expected_weight, atol=1e-6)
        np.testing.assert_allclose(bias * torch.tensor(STDS), expected_bias, atol=1e-6)


def test_cases_cover_fewer_and_more_examples_than_features() -> None:
    counts = [len(examples_of_class(make_svm_data(images, seed=images), 1)[0]) for images in (4, 60)]
    assert 0 < counts[0] <= LENGTH < counts[1]


def test_solving_by_examples_equals_by_features() -> None:
    random = torch.Generator().manual_seed(0)
    rows, targets = (torch.randn(30, width, dtype=torch.float64, generator=random) for width in (20, 4))
    by_features = ridge._by_features(iter(rows.split(7)), targets, 20, 3.0)
    torch.testing.assert_close(by_features, ridge._by_examples(iter(rows.split(7)), targets, 20, 3.0))


def test_fit_regressor_learns_linear_deltas() -> None:
    data = make_svm_data(60)
    features, targets = examples_of_class(data, 1)
    weight, bias = fitted(data, 1, 1.0)
    predicted = (torch.from_numpy(features).float() @ weight.T + bias).numpy() * np.array(STDS)
    assert np.abs(predicted - targets).std() < 0.25 * targets.std()


def test_fit_regressor_ignores_other_classes() -> None:
    data = make_svm_data(20)
    others = [
        RegressionExamples(one.rows, one.labels, np.where(one.labels[:, None] == 1, one.deltas, 9.0))
        for one in data.examples
    ]
    weight, bias = fitted(data, 1, 10.0)
    other_weight, other_bias = fitted(SvmData(data.features, data.region_labels, others), 1, 10.0)
    assert torch.equal(weight, other_weight)
    assert torch.equal(bias, other_bias)
