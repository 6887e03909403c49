"""The two terms of every loss in the family: which class, and where (equation 1 of Fast and of Faster R-CNN)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def smooth_l1(found: Tensor, wanted: Tensor, beta: float) -> Tensor:
    """Sum over all entries of ``smooth_l1_each``."""
    return smooth_l1_each(found, wanted, beta).sum()


def smooth_l1_each(found: Tensor, wanted: Tensor, beta: float) -> Tensor:
    """Of each entry: quadratic below ``beta``, linear above, plain L1 where it is 0.

    ``beta`` is 1 / sigma^2 of the Fast R-CNN code (sigma 3 there is 1/9 here).
    """
    if beta == 0:
        return functional.l1_loss(found, wanted, reduction="none")
    return functional.smooth_l1_loss(found, wanted, beta=beta, reduction="none")


def region_losses(logits: Tensor, deltas: Tensor, labels: Tensor, wanted: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Class and box loss of S samples, both divided by S.

    logits (S, K + 1); deltas (S, K, 4), of which each sample's own class counts, or (S, 1, 4) for all classes alike;
    labels (S,) in 0..K; wanted (S, 4), read where the label is not 0.
    Without samples both are 0 and still reach every parameter, so that no process waits for a gradient.
    """
    if len(labels) == 0:
        return logits.sum() * 0, deltas.sum() * 0
    foreground = labels.nonzero().flatten()
    own = deltas[foreground, labels[foreground] - 1] if deltas.shape[1] > 1 else deltas[foreground, 0]
    box = smooth_l1(own, wanted[foreground], beta) / len(labels)
    return functional.cross_entropy(logits, labels), box


def objectness_losses(
    logits: Tensor, deltas: Tensor, wanted: Tensor, weights: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """Weighted sums of the objectness and the box losses of F foreground anchors, which come first, and B others.

    logits (F + B,); deltas (F, 4); wanted (F, 4); weights (F + B,): 1 / (F + B) for the mean over all. Without anchors
    both are 0 and still reach every parameter.
    """
    foreground = len(wanted)
    truth = (torch.arange(len(logits), device=logits.device) < foreground).to(logits.dtype)
    objectness = functional.binary_cross_entropy_with_logits(logits, truth, weights, reduction="sum")
    return objectness, (smooth_l1_each(deltas, wanted, beta) * weights[:foreground, None]).sum()
