"""The chain of heads of Cascade R-CNN (Cai and Vasconcelos 2018), and what lies between two of its stages.

A head that is trained on proposals of an IoU of 0.5 makes better boxes than it reads, but it cannot improve boxes that
are good already. So each stage reads the boxes of the one before, and is trained on them with a higher IoU. Where the
published codes differ, this follows detectron2:

- The ground truth is added to the proposals of the first stage, and its boxes are refined like the others (mmdetection
  removes them and adds the exact ones again in each stage).
- A later stage is trained on all refined boxes of the samples, matched again (mmdetection draws as many positives as in
  the first stage at most).
- The scores of all stages are averaged (mmdetection averages the logits before their softmax; ``average`` does either).
- The losses of all stages are added; the gradient that each sends to the shared maps is divided by the number of stages
  (mmdetection weights the losses by 1, 0.5 and 0.25 instead).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from detect.models.heads.softmax import SoftmaxHead
from detect.ops import boxes as box_ops
from detect.ops.matching import Matcher, match_all
from detect.types import Samples, Size, Targets

StageAverage = Literal["scores", "logits"]  # what is averaged over the stages when detecting


class CascadeHead(nn.ModuleList):
    """A chain of heads with weights of their own, from the first stage to the last."""

    @property
    def stages(self) -> tuple[SoftmaxHead, ...]:
        """Return the heads in their order."""
        return tuple(cast(SoftmaxHead, stage) for stage in self)


@dataclass(frozen=True)
class Refinement:
    """The step from one stage to the next: the deltas of the first move its boxes, which the second reads.

    delta_stds: the deltas of the first are divided by these in training; max_scale: see ``boxes.decode``; matcher:
    tells the positives and negatives of the second among the refined boxes.
    """

    delta_stds: tuple[float, float, float, float]
    matcher: Matcher
    max_scale: float | None = box_ops.MAX_SCALE

    def boxes(self, boxes: Tensor, logits: Tensor, deltas: Tensor, size: Size, labels: Tensor | None = None) -> Tensor:
        """Return ``refined_boxes`` with the settings of this step."""
        return refined_boxes(boxes, logits, deltas, self.delta_stds, self.max_scale, size, labels)

    @torch.no_grad()
    def samples(self, boxes: Sequence[Tensor], targets: Sequence[Targets]) -> list[Samples]:
        """Return the samples of the second stage: all refined boxes (B, 4) of each image, matched again."""
        return match_all(self.matcher, boxes, targets)


@torch.no_grad()
def refined_boxes(
    boxes: Tensor,
    logits: Tensor,
    deltas: Tensor,
    delta_stds: tuple[float, float, float, float],
    max_scale: float | None,
    size: Size,
    labels: Tensor | None = None,
) -> Tensor:
    """Return the boxes (B, 4) moved by their deltas, clipped to their image of ``size`` (h, w); they have no gradient.

    boxes (B, 4), logits (B, K + 1), deltas (B, K, 4) or (B, 1, 4). Of deltas of each class, those of the class with the
    highest logit are taken, and in training those of the true one, where ``labels`` (B,) in 0..K has one (as
    mmdetection does; detectron2 and the paper share the deltas).
    """
    chosen = torch.zeros_like(logits[:, 0], dtype=torch.int64)
    if deltas.shape[1] > 1:
        chosen = logits[:, 1:].argmax(1)
        chosen = chosen if labels is None else torch.where(labels > 0, labels - 1, chosen)
    rows = torch.arange(boxes.shape[0], device=boxes.device)
    return box_ops.clip(box_ops.decode(deltas[rows, chosen], boxes, delta_stds, max_scale), size)


def mean_logits(stage_logits: Sequence[Tensor], average: StageAverage) -> Tensor:
    """Return logits (P, K + 1) whose softmax is the average over the stages; those of a single stage unchanged.

    With scores they are the logarithms of the mean probabilities, computed without the probabilities, which may be 0 in
    float32; with logits their means.
    """
    if len(stage_logits) == 1:
        return stage_logits[0]
    if average == "logits":
        return torch.stack(list(stage_logits)).mean(0)
    log_probabilities = torch.stack([logits.log_softmax(1) for logits in stage_logits])
    return log_probabilities.logsumexp(0) - math.log(len(stage_logits))
