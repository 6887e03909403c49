"""From logits and deltas to detections: score, threshold, decode, suppress within each class, keep the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from detect.ops import boxes as box_ops
from detect.ops.nms import nms, suppressed_by
from detect.types import Detections, Proposals, Size

ScoreFn = Callable[[Tensor], Tensor]  # logits (P, K + 1) -> scores (P, K) in 0..1


def softmax(logits: Tensor) -> Tensor:
    """Return the probability (P, K) of each class among all and the background, of logits (P, K + 1) (Fast R-CNN)."""
    return logits.softmax(1)[:, 1:]


def logistic(logits: Tensor) -> Tensor:
    """Return the probability (P, K) of each class against the background alone, of logits (P, K + 1).

    For an SVM head, whose background logit is 0, this is the logistic of the margin: 0.5 on the decision border and
    0.27 at margin -1, below which negatives should stay. Scores keep the order of the margins, up to margins of 15,
    where float32 rounds to 1.
    """
    return torch.sigmoid(logits[:, 1:] - logits[:, :1])


def top_of_each_class(scores: Tensor, labels: Tensor, top_n: int) -> Tensor:
    """Return the indices, in order, of the ``top_n`` best of each class: scores (D,), labels (D,) int64 from 0 on.

    Of equal scores the lower index comes first.
    """
    order = scores.argsort(descending=True, stable=True)
    order = order[labels[order].argsort(stable=True)]  # by class, the best of each first
    counts = labels.bincount()
    rank = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[labels[order]]
    return order[rank < top_n].sort().values


@dataclass(frozen=True)
class Postprocess:
    """Turns the head's outputs for one image into its detections.

    delta_stds: the deltas of training are divided by these (Fast R-CNN normalizes targets to unit variance).
    score_threshold: detections with a lower score are dropped. nms_iou: of two boxes of a class with a larger IoU the
    one with the lower score is dropped. max_detections: the maximum for an image. classes: the K names. score_fn: turns
    logits into scores, ``softmax`` or ``logistic``. apply_deltas: whether the deltas move the proposals (False is the
    papers' ablation "no box regression"). max_scale: see ``boxes.decode``. min_size: detections with a side of so many
    pixels or less are dropped (torchvision: 0.01). pre_nms_top_n_per_class: the number of best detections of each class
    that enter the suppression, None for all (Fast R-CNN's code: 100).
    """

    delta_stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    score_threshold: float = 0.05
    nms_iou: float = 0.3
    max_detections: int = 100
    classes: tuple[str, ...] = ()
    score_fn: ScoreFn = softmax
    apply_deltas: bool = True
    max_scale: float | None = box_ops.MAX_SCALE
    min_size: float = 0.0
    pre_nms_top_n_per_class: int | None = None

    def __call__(self, proposals: Proposals, logits: Tensor, deltas: Tensor, size: Size) -> Detections:
        """Return the detections, best first: P proposals, logits (P, K + 1), deltas (P, K, 4), the image's (h, w)."""
        candidates = self.candidates(proposals, logits, deltas, size)
        return candidates.select(self.nms_keep(candidates))

    def candidates(self, proposals: Proposals, logits: Tensor, deltas: Tensor, size: Size) -> Detections:
        """Return all pairs of a proposal and a class that enter the suppression, in the order of the proposals.

        P proposals, logits (P, K + 1), deltas (P, K, 4) or (P, 1, 4), size (h, w) of the image.
        """
        scores = self.score_fn(logits)  # (P, K)
        proposal, label = (scores >= self.score_threshold).nonzero(as_tuple=True)  # pairs that pass
        boxes = proposals.boxes[proposal]
        if self.apply_deltas:
            class_deltas = deltas[proposal, label if deltas.shape[1] > 1 else torch.zeros_like(label)]
            boxes = box_ops.decode(class_deltas, boxes, self.delta_stds, self.max_scale)
        boxes = box_ops.clip(boxes, size)
        detections = Detections(boxes, scores[proposal, label], label + 1, proposal, self.classes)
        detections = detections.select(box_ops.is_not_empty(boxes, self.min_size))
        if self.pre_nms_top_n_per_class is None:
            return detections
        return detections.select(top_of_each_class(detections.scores, detections.labels, self.pre_nms_top_n_per_class))

    def nms_keep(self, candidates: Detections) -> Tensor:
        """Return the indices of the candidates that become detections, best first."""
        return nms(candidates.boxes, candidates.scores, self.nms_iou, candidates.labels - 1)[: self.max_detections]

    def suppressed_by(self, candidates: Detections) -> Tensor:
        """Return the index (D,) int64 of the candidate that suppressed each one.

        It is the candidate's own index where no other suppressed it, also beyond ``max_detections``.
        """
        return suppressed_by(candidates.boxes, candidates.scores, self.nms_iou, candidates.labels - 1)
