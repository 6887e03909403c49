"""From logits and deltas to detections: decode, threshold, suppress class by class, keep the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from detect.ops import boxes as box_ops
from detect.ops.nms import nms, suppressors
from detect.types import Detections, Proposals, Size

Scoring = Callable[[Tensor], Tensor]  # logits (P, K + 1) -> scores (P, K) in 0..1


def softmax(logits: Tensor) -> Tensor:
    """Logits (P, K + 1) -> the probability (P, K) of each class among all and the background (Fast R-CNN)."""
    return logits.softmax(1)[:, 1:]


def logistic(logits: Tensor) -> Tensor:
    """Logits (P, K + 1) -> the probability (P, K) of each class against the background alone.

    Of an SVM head, whose background has logit 0, the logistic of the margin: 0.5 on the border, 0.27 below which the
    negatives should stay. The order is the margin's, up to margins of 15 where float32 ends at 1.
    """
    return torch.sigmoid(logits[:, 1:] - logits[:, :1])


@dataclass(frozen=True)
class Postprocess:
    """The rule that turns one image's raw output into its detections.

    stds: what the head's deltas are divided by in training (Fast R-CNN normalises targets to unit variance);
    score: detections below it are dropped; nms: IoU above which the worse of two boxes of a class goes;
    limit: the most detections an image; scoring: how logits become scores, ``softmax`` or ``logistic``;
    regress: whether the deltas move the proposals (the papers' ablation "no box regression"); growth: see
    ``boxes.decode``; min_side: detections with a side of so many pixels or less are dropped (torchvision: 0.01).
    """

    stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    score: float = 0.05
    nms: float = 0.3
    limit: int = 100
    classes: tuple[str, ...] = ()
    scoring: Scoring = softmax
    regress: bool = True
    growth: float | None = box_ops.MAX_GROWTH
    min_side: float = 0.0

    def __call__(self, proposals: Proposals, logits: Tensor, deltas: Tensor, size: Size) -> Detections:
        """Proposals (P), logits (P, K + 1), deltas (P, K, 4), the picture's (h, w) -> Detections, best first."""
        found = self.candidates(proposals, logits, deltas, size)
        return found.select(self.kept(found))

    def candidates(self, proposals: Proposals, logits: Tensor, deltas: Tensor, size: Size) -> Detections:
        """What the rule chooses from: pairs of a proposal and a class that score enough, proposal by proposal."""
        scores = self.scoring(logits)  # (P, K)
        proposal, label = (scores >= self.score).nonzero(as_tuple=True)  # pairs that pass
        boxes = proposals.boxes[proposal]
        if self.regress:
            own = deltas[proposal, label if deltas.shape[1] > 1 else torch.zeros_like(label)]
            boxes = box_ops.decode(own, boxes, self.stds, self.growth)
        boxes = box_ops.clip(boxes, size)
        found = Detections(boxes, scores[proposal, label], label + 1, proposal, self.classes)
        return found.select(box_ops.has_extent(boxes, self.min_side))

    def kept(self, candidates: Detections) -> Tensor:
        """Indices of those that are answers, best first."""
        return nms(candidates.boxes, candidates.scores, self.nms, candidates.labels - 1)[: self.limit]

    def suppressors(self, candidates: Detections) -> Tensor:
        """Who took each of the candidates out (D,); itself for one that no other did, beyond the limit too."""
        return suppressors(candidates.boxes, candidates.scores, self.nms, candidates.labels - 1)
