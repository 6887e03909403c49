"""Which target each box stands for, and which boxes a training step looks at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detect.ops import boxes as box_ops
from detect.system import randomness
from detect.types import Proposals, Samples, Targets

BACKGROUND = -1
IGNORED = -2


@dataclass(frozen=True)
class Matcher:
    """Turns overlaps with the targets into roles.

    A box is foreground when its best IoU is at least ``foreground``, background when it is in [low, high) of
    ``background``, else ignored. ``keep_best`` makes the best boxes of each target foreground whatever their IoU
    (Faster R-CNN, 3.1.2 (i)). Without targets every box is background, whatever ``low``. A background box that lies for
    more than ``crowd_coverage`` of its area in a crowd is ignored.
    """

    foreground: float
    background: tuple[float, float]
    keep_best: bool = False
    crowd_coverage: float = 0.7

    def match(self, boxes: Tensor, targets: Targets) -> Tensor:
        """Boxes (B, 4) -> (B,) int64: the index of a target, BACKGROUND or IGNORED."""
        real = (~targets.crowd).nonzero().flatten()
        matched = torch.full((len(boxes),), IGNORED, dtype=torch.int64, device=boxes.device)
        if len(real) == 0:
            matched.fill_(BACKGROUND)
        else:
            overlaps = box_ops.iou(boxes, targets.boxes[real].to(boxes.dtype))
            best, index = overlaps.max(1)
            low, high = self.background
            matched[(best >= low) & (best < high)] = BACKGROUND
            matched = torch.where(best >= self.foreground, real[index], matched)
            if self.keep_best and len(boxes):
                best_of_target = overlaps.max(0).values.clamp(min=torch.finfo(overlaps.dtype).tiny)
                matched = torch.where((overlaps == best_of_target).any(1), real[index], matched)
        return self._spare_crowds(boxes, targets, matched)

    def _spare_crowds(self, boxes: Tensor, targets: Targets, matched: Tensor) -> Tensor:
        crowds = targets.boxes[targets.crowd].to(boxes.dtype)
        if len(crowds) == 0 or len(boxes) == 0:
            return matched
        inside = box_ops.coverage(boxes, crowds).max(1).values > self.crowd_coverage
        return torch.where(inside & (matched == BACKGROUND), IGNORED, matched)


def subsample(matched: Tensor, number: int, share: float, key: int, purpose: str) -> tuple[Tensor, Tensor]:
    """At most ``number`` boxes drawn evenly, at most ``share`` of them foreground.

    matched (B,) as Matcher.match gives it -> indices of the foreground and of the background chosen. Background fills
    what foreground leaves. The draw depends on ``key`` and ``purpose`` alone.
    """
    lots = randomness.uniform(len(matched), matched.device, key, purpose)
    foreground = _draw(matched >= 0, int(number * share), lots)
    return foreground, _draw(matched == BACKGROUND, number - len(foreground), lots)


def _draw(chosen: Tensor, number: int, lots: Tensor) -> Tensor:
    """Indices of at most ``number`` true entries, those with the lowest lots."""
    indices = chosen.nonzero().flatten()
    return indices[lots[indices].topk(min(number, len(indices)), largest=False).indices]


@dataclass(frozen=True)
class RegionSampler:
    """Chooses the proposals that train the head: ``number`` an image, ``share`` of them foreground.

    With ``add_targets`` the ground truth joins the proposals first, so that a young RPN still gives foreground.
    """

    matcher: Matcher
    number: int
    share: float = 0.25
    add_targets: bool = True

    def sample(self, proposals: Proposals, targets: Targets, key: int) -> Samples:
        """One image's proposals and targets -> Samples, foreground first."""
        boxes = proposals.boxes
        if self.add_targets:
            boxes = torch.cat([boxes, targets.boxes[~targets.crowd].to(boxes.dtype)])
        matched = self.matcher.match(boxes, targets)
        chosen = torch.cat(subsample(matched, self.number, self.share, key, "regions"))
        target = matched[chosen]
        if len(targets) == 0:
            return Samples(boxes[chosen], torch.zeros_like(target), boxes[chosen])
        labels = torch.where(target >= 0, targets.labels[target.clamp(min=0)], 0)
        return Samples(boxes[chosen], labels, targets.boxes[target.clamp(min=0)].to(boxes.dtype))
