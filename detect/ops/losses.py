"""The terms of every loss of the family: classification, box regression (Fast and Faster R-CNN, equation 1), masks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def smooth_l1_sum(predicted: Tensor, target: Tensor, beta: float) -> Tensor:
    """Return the sum of ``smooth_l1`` over all entries, a scalar; predicted and target: the same shape."""
    return smooth_l1(predicted, target, beta).sum()


def smooth_l1(predicted: Tensor, target: Tensor, beta: float) -> Tensor:
    """Return the smooth L1 loss of each entry, in the shape of ``predicted`` and ``target``.

    It is quadratic for differences below ``beta`` and linear above; with a ``beta`` of 0 it is the L1 loss. ``beta`` is
    1 / sigma^2 of the Fast R-CNN code (sigma 3 there is 1/9 here).
    """
    if beta == 0:
        return functional.l1_loss(predicted, target, reduction="none")
    return functional.smooth_l1_loss(predicted, target, beta=beta, reduction="none")


def region_losses(
    logits: Tensor, deltas: Tensor, labels: Tensor, target_deltas: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """Return the class loss and the box loss of S samples, both divided by S.

    logits (S, K + 1); deltas (S, K, 4), of which only those of each sample's class are read, or (S, 1, 4), the same
    for all classes; labels (S,) in 0..K; target_deltas (S, 4), read where the label is not 0. Without samples both
    losses are 0 and still have a gradient for every parameter, so that no process waits for one.
    """
    if len(labels) == 0:
        return logits.sum() * 0, deltas.sum() * 0
    foreground = labels.nonzero().flatten()
    class_deltas = deltas[foreground, labels[foreground] - 1] if deltas.shape[1] > 1 else deltas[foreground, 0]
    box = smooth_l1_sum(class_deltas, target_deltas[foreground], beta) / len(labels)
    return functional.cross_entropy(logits, labels), box


def mask_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of the masks of P positives, the mean over their cells (Mask R-CNN, section 3).

    logits (P, K, M, M), of which only those of each positive's class are read; labels (P,) in 1..K; targets (P, M, M)
    in 0..1. Without positives the loss is 0 and still has a gradient for every parameter.
    """
    if len(labels) == 0:
        return logits.sum() * 0
    rows = torch.arange(len(labels), device=labels.device)
    return functional.binary_cross_entropy_with_logits(logits[rows, labels - 1], targets)


def rpn_losses(
    logits: Tensor, deltas: Tensor, target_deltas: Tensor, weights: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """Return the weighted sums of the objectness and box losses of F foreground, then B background anchors.

    logits (F + B,); deltas (F, 4); target_deltas (F, 4); weights (F + B,): 1 / (F + B) for the mean over all. Without
    anchors both losses are 0 and still have a gradient for every parameter.
    """
    num_foreground = len(target_deltas)
    labels = (torch.arange(len(logits), device=logits.device) < num_foreground).to(logits.dtype)
    objectness = functional.binary_cross_entropy_with_logits(logits, labels, weights, reduction="sum")
    return objectness, (smooth_l1(deltas, target_deltas, beta) * weights[:num_foreground, None]).sum()
