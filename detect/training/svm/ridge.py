"""Box regressors: for each class four ridge regressions from features to deltas (R-CNN, appendix C)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detect.training.svm.examples import BoxExamples, Features

_BATCH = 512  # rows a product: enough that reading the sums does not cost more than the arithmetic


def fit_regressor(
    features: Features,
    examples: Sequence[BoxExamples],
    label: int,
    length: int,
    scale: float,
    stds: tuple[float, float, float, float],
    penalty: float = 1000.0,
) -> tuple[Tensor, Tensor]:
    """The regressor of class ``label``: raw features to deltas over ``stds``, as weight (4, D) and bias (4,), float32.

    Features of ``length`` = D numbers are multiplied by ``scale`` (``feature_scale``) and get a constant 1, its weight
    penalised as the others are; targets are centred. Solved in float64, by n x n sums where the class has n <= D
    examples, else by D x D ones: 8 D^2 bytes (0.7 GB for AlexNet's 9216, 5 GB for VGG16's 25088), or 8 n (n + D).
    Without an example all is 0.

    The authors also whiten the targets. With one penalty for all four that changes nothing: the solution is linear in
    the targets, so what whitening does is undone exactly when it is taken back.
    """
    deltas = [example.deltas[example.labels == label] for example in examples]
    targets = torch.from_numpy(np.concatenate([np.zeros((0, 4)), *deltas]))
    if len(targets) == 0:
        return torch.zeros(4, length), torch.zeros(4)
    mean = targets.mean(0)
    batches = _batches(features, examples, label, scale)
    solve = _by_examples if len(targets) <= length else _by_features
    solution = solve(batches, targets - mean, length + 1, penalty)
    weight, bias = solution[:-1].T * scale, solution[-1] + mean
    units = torch.tensor(stds, dtype=torch.float64)
    return (weight / units[:, None]).float(), (bias / units).float()


def _by_features(batches: Iterator[Tensor], targets: Tensor, length: int, penalty: float) -> Tensor:
    """(X'X + penalty I)^-1 X'Y from its sums: (length, 4)."""
    gram = torch.zeros(length, length, dtype=torch.float64)
    moment = torch.zeros(length, 4, dtype=torch.float64)
    done = 0
    for rows in batches:
        gram.addmm_(rows.T, rows)
        moment.addmm_(rows.T, targets[done : done + len(rows)])
        done += len(rows)
    return _solve(gram, moment, penalty)


def _by_examples(batches: Iterator[Tensor], targets: Tensor, length: int, penalty: float) -> Tensor:
    """The same as X'(XX' + penalty I)^-1 Y, for fewer examples than features."""
    rows = torch.empty(len(targets), length, dtype=torch.float64)
    done = 0
    for batch in batches:
        rows[done : done + len(batch)] = batch
        done += len(batch)
    return rows.T @ _solve(rows @ rows.T, targets, penalty)


def _solve(matrix: Tensor, right: Tensor, penalty: float) -> Tensor:
    """(matrix + penalty I)^-1 right for a positive semidefinite matrix, which is overwritten."""
    matrix.diagonal().add_(penalty)
    return torch.cholesky_solve(right, torch.linalg.cholesky(matrix, out=matrix))


def _batches(features: Features, examples: Sequence[BoxExamples], label: int, scale: float) -> Iterator[Tensor]:
    """The scaled features of one class with a 1 after them, (n, D + 1) float64, image by image."""
    waiting: list[NDArray[np.float64]] = []
    for image, example in enumerate(examples):
        rows = example.rows[example.labels == label]
        if len(rows):
            waiting.append(
                np.pad(features[image][rows].astype(np.float64) * scale, ((0, 0), (0, 1)), constant_values=1)
            )
        if sum(map(len, waiting)) >= _BATCH or (waiting and image == len(examples) - 1):
            yield torch.from_numpy(np.concatenate(waiting))
            waiting = []
