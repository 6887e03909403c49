"""One linear SVM: liblinear's, as scikit-learn wraps it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.training.svm.examples import Rows


@dataclass(frozen=True)
class SvmRule:
    """L2-regularised hinge loss with R-CNN's numbers (for features of mean norm 20).

    cost: C; bias: the constant feature whose weight is the bias, large so that it is hardly regularised;
    positive_weight: what a positive counts; seed: of the solver's order of work.
    """

    cost: float = 1e-3
    bias: float = 10.0
    positive_weight: float = 2.0
    seed: int = 0


def fit_svm(positives: Rows, negatives: Rows, scale: float, rule: SvmRule) -> tuple[NDArray[np.float32], np.float32]:
    """Positives (A, F) and negatives (B, F), at least one of each, times ``scale`` -> weight (F,) and bias.

    The weight has ``scale`` in it: the margin of raw features x is ``x @ weight + bias``. Depends on the order of the
    rows and the seed alone. Takes 24 (A + B) F bytes while it runs.
    """
    from sklearn.svm import LinearSVC  # takes a second: for those who train SVMs

    rows = np.concatenate([positives, negatives], dtype=np.float64)
    rows *= scale
    signs = np.repeat([1, -1], [len(positives), len(negatives)])
    solver = LinearSVC(
        loss="hinge",
        C=rule.cost,
        intercept_scaling=rule.bias,
        class_weight={1: rule.positive_weight},
        random_state=rule.seed,
        tol=1e-3,
        max_iter=10_000,
    ).fit(rows, signs)
    return (solver.coef_[0] * scale).astype(np.float32), np.float32(solver.intercept_[0])
