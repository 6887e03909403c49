"""Fit box regressors: for each class four ridge regressions from features to deltas (R-CNN, appendix C)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detect.training.svm.examples import Features, RegressionExamples

_BATCH = 512  # rows per product: enough that reading the sums does not cost more than the arithmetic


def fit_regressor(
    features: Features,
    examples: Sequence[RegressionExamples],
    label: int,
    length: int,
    scale: float,
    stds: tuple[float, float, float, float],
    penalty: float = 1000.0,
) -> tuple[Tensor, Tensor]:
    """Fit the regressor of class ``label`` from unscaled features to deltas divided by ``stds``.

    Return weight (4, D) and bias (4,), float32; without an example both are 0. Features of ``length`` = D numbers are
    multiplied by ``scale`` (``feature_scale``) and get a constant 1, whose weight is penalized as the others are;
    targets are centered. Solved in float64, by n x n sums if the class has n <= D examples, else by D x D sums: 8 D^2
    bytes (0.7 GB for AlexNet's 9216, 5 GB for VGG16's 25088), or 8 n (n + D).

    The authors also whiten the targets. With one penalty for all four that changes nothing: the solution is linear in
    the targets, so undoing the whitening cancels its effect exactly.
    """
    deltas = [example.deltas[example.labels == label] for example in examples]
    targets = torch.from_numpy(np.concatenate([np.zeros((0, 4)), *deltas]))
    if len(targets) == 0:
        return torch.zeros(4, length), torch.zeros(4)
    mean = targets.mean(0)
    batches = _feature_batches(features, examples, label, scale)
    solve = _by_examples if len(targets) <= length else _by_features
    solution = solve(batches, targets - mean, length + 1, penalty)
    weight, bias = solution[:-1].T * scale, solution[-1] + mean
    units = torch.tensor(stds, dtype=torch.float64)
    return (weight / units[:, None]).float(), (bias / units).float()


def _by_features(batches: Iterator[Tensor], targets: Tensor, length: int, penalty: float) -> Tensor:
    """Return (X'X + penalty I)^-1 X'Y, (length, 4), from sums over the batches."""
    gram = torch.zeros(length, length, dtype=torch.float64)
    moment = torch.zeros(length, 4, dtype=torch.float64)
    done = 0
    for rows in batches:
        gram.addmm_(rows.T, rows)
        moment.addmm_(rows.T, targets[done : done + len(rows)])
        done += len(rows)
    return _solve(gram, moment, penalty)


def _by_examples(batches: Iterator[Tensor], targets: Tensor, length: int, penalty: float) -> Tensor:
    """Return the same as X'(XX' + penalty I)^-1 Y, (length, 4), for fewer examples than features."""
    rows = torch.empty(len(targets), length, dtype=torch.float64)
    done = 0
    for batch in batches:
        rows[done : done + len(batch)] = batch
        done += len(batch)
    return rows.T @ _solve(rows @ rows.T, targets, penalty)


def _solve(matrix: Tensor, right_side: Tensor, penalty: float) -> Tensor:
    """Return (matrix + penalty I)^-1 right_side for a positive semidefinite matrix, which is overwritten."""
    matrix.diagonal().add_(penalty)
    return torch.cholesky_solve(right_side, torch.linalg.cholesky(matrix, out=matrix))


def _feature_batches(
    features: Features, examples: Sequence[RegressionExamples], label: int, scale: float
) -> Iterator[Tensor]:
    """Yield the scaled features of one class followed by a 1, (n, D + 1) float64, in the order of the images."""
    pending: list[NDArray[np.float64]] = []
    for image, example in enumerate(examples):
        rows = example.rows[example.labels == label]
        if len(rows):
            pending.append(
                np.pad(features[image][rows].astype(np.float64) * scale, ((0, 0), (0, 1)), constant_values=1)
            )
        if sum(map(len, pending)) >= _BATCH or (pending and image == len(examples) - 1):
            yield torch.from_numpy(np.concatenate(pending))
            pending = []
