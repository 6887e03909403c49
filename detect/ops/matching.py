"""Matching boxes to targets, and sampling the boxes that a training step uses."""

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
    """Assigns each box a target, the background, or nothing, by its overlaps with the targets.

    A box is foreground where its best IoU is at least ``foreground_iou``, background where it is in [low, high) of
    ``background_iou``, else ignored. ``allow_low_quality_matches`` makes the best boxes of each target foreground
    whatever their IoU (Faster R-CNN, 3.1.2 (i)). Without targets every box is background, whatever ``low``. A
    background box of which more than the fraction ``crowd_ioa`` lies in one crowd is ignored.
    """

    foreground_iou: float
    background_iou: tuple[float, float]
    allow_low_quality_matches: bool = False
    crowd_ioa: float = 0.7

    def match(self, boxes: Tensor, targets: Targets) -> Tensor:
        """Match boxes (B, 4) -> (B,) int64: the index of a target, BACKGROUND or IGNORED."""
        real = (~targets.crowd).nonzero().flatten()
        matched = torch.full((len(boxes),), IGNORED, dtype=torch.int64, device=boxes.device)
        if len(real) == 0:
            matched.fill_(BACKGROUND)
        else:
            overlaps = box_ops.iou(boxes, targets.boxes[real].to(boxes.dtype))
            best, index = overlaps.max(1)
            low, high = self.background_iou
            matched[(best >= low) & (best < high)] = BACKGROUND
            matched = torch.where(best >= self.foreground_iou, real[index], matched)
            if self.allow_low_quality_matches and len(boxes):
                best_of_target = overlaps.max(0).values.clamp(min=torch.finfo(overlaps.dtype).tiny)
                matched = torch.where((overlaps == best_of_target).any(1), real[index], matched)
        return self._ignore_crowds(boxes, targets, matched)

    def _ignore_crowds(self, boxes: Tensor, targets: Targets, matched: Tensor) -> Tensor:
        crowds = targets.boxes[targets.crowd].to(boxes.dtype)
        if len(crowds) == 0 or len(boxes) == 0:
            return matched
        inside = box_ops.ioa(boxes, crowds).max(1).values > self.crowd_ioa
        return torch.where(inside & (matched == BACKGROUND), IGNORED, matched)


def sample_foreground_background(
    matched: Tensor, max_samples: int, positive_fraction: float, seed: int, purpose: str
) -> tuple[Tensor, Tensor]:
    """Sample at most ``max_samples`` boxes uniformly, of them at most the fraction ``positive_fraction`` foreground.

    matched (B,) int64 as Matcher.match returns it -> indices of the sampled foreground (F,) and background (G,).
    Background fills what foreground leaves free. The samples depend on ``seed`` and ``purpose`` alone.
    """
    random_values = randomness.uniform(len(matched), matched.device, seed, purpose)
    foreground = _draw_lowest(matched >= 0, int(max_samples * positive_fraction), random_values)
    return foreground, _draw_lowest(matched == BACKGROUND, max_samples - len(foreground), random_values)


def _draw_lowest(mask: Tensor, max_count: int, random_values: Tensor) -> Tensor:
    """Return the indices of at most ``max_count`` true entries of ``mask`` (B,), those of the lowest random values."""
    indices = mask.nonzero().flatten()
    return indices[random_values[indices].topk(min(max_count, len(indices)), largest=False).indices]


@dataclass(frozen=True)
class ProposalSampler:
    """Samples the proposals that train the head: ``batch_size_per_image``, a part of them foreground.

    At most the fraction ``positive_fraction`` is foreground. With ``add_gt_proposals`` the ground truth boxes are
    added to the proposals first, so that there is foreground also while an RPN is untrained.
    """

    matcher: Matcher
    batch_size_per_image: int
    positive_fraction: float = 0.25
    add_gt_proposals: bool = True

    def sample(self, proposals: Proposals, targets: Targets, seed: int) -> Samples:
        """Sample from the proposals of one image, foreground first: P proposals, G targets -> S samples."""
        boxes = proposals.boxes
        if self.add_gt_proposals:
            boxes = torch.cat([boxes, targets.boxes[~targets.crowd].to(boxes.dtype)])
        matched = self.matcher.match(boxes, targets)
        sampled = torch.cat(
            sample_foreground_background(matched, self.batch_size_per_image, self.positive_fraction, seed, "regions")
        )
        target = matched[sampled]
        if len(targets) == 0:
            return Samples(boxes[sampled], torch.zeros_like(target), boxes[sampled])
        labels = torch.where(target >= 0, targets.labels[target.clamp(min=0)], 0)
        return Samples(boxes[sampled], labels, targets.boxes[target.clamp(min=0)].to(boxes.dtype))
