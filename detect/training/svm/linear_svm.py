"""Fit one linear SVM with liblinear, through scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.training.svm.examples import Rows


@dataclass(frozen=True)
class SvmConfig:
    """The settings of an SVM with L2-regularized hinge loss, with R-CNN's values (for features of mean norm 20).

    cost: C; bias: the constant feature whose weight is the bias, large so that it is hardly regularized;
    positive_weight: the weight of a positive in the loss; seed: of the order in which the solver visits the rows.
    """

    cost: float = 1e-3
    bias: float = 10.0
    positive_weight: float = 2.0
    seed: int = 0


def fit_svm(
    positives: Rows, negatives: Rows, scale: float, config: SvmConfig
) -> tuple[NDArray[np.float32], np.float32]:
    """Fit an SVM on positives (A, F) and negatives (B, F), at least one of each, times ``scale``.

    Return the weight (F,) and the bias. The weight includes ``scale``: the margin of unscaled features x is
    ``x @ weight + bias``. The fit depends on the order of the rows and the seed alone and takes 24 (A + B) F bytes.
    """
    from sklearn.svm import LinearSVC  # the import takes a second, which only a training of SVMs needs

    rows = np.concatenate([positives, negatives], dtype=np.float64)
    rows *= scale
    signs = np.repeat([1, -1], [len(positives), len(negatives)])
    solver = LinearSVC(
        loss="hinge",
        C=config.cost,
        intercept_scaling=config.bias,
        class_weight={1: config.positive_weight},
        random_state=config.seed,
        tol=1e-3,
        max_iter=10_000,
    ).fit(rows, signs)
    return (solver.coef_[0] * scale).astype(np.float32), np.float32(solver.intercept_[0])
