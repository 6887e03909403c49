"""Matching boxes to targets, and sampling the boxes that a training step uses."""

from __future__ import annotations

from collections.abc import Sequence
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
        if len(targets) == 0:
            return torch.full((len(boxes),), BACKGROUND, dtype=torch.int64, device=boxes.device)
        overlaps = box_ops.iou(boxes, targets.boxes.to(boxes.dtype))
        may_have_crowds = targets.crowd.is_cuda or bool(targets.crowd.any())  # a GPU is not asked: it would be a wait
        if may_have_crowds:
            overlaps = overlaps.masked_fill(targets.crowd, -1.0)
        best, index = overlaps.max(1)
        low, high = self.background_iou
        matched = torch.where((best >= low) & (best < high), BACKGROUND, IGNORED)
        matched = torch.where(best >= self.foreground_iou, index, matched)
        if self.allow_low_quality_matches and len(boxes):
            best_of_target = overlaps.max(0).values.clamp(min=torch.finfo(overlaps.dtype).tiny)
            matched = torch.where((overlaps == best_of_target).any(1), index, matched)
        return self._ignore_crowds(boxes, targets, matched) if may_have_crowds else matched

    def _ignore_crowds(self, boxes: Tensor, targets: Targets, matched: Tensor) -> Tensor:
        matched = torch.where(targets.crowd.all(), BACKGROUND, matched)
        inside = box_ops.ioa(boxes, targets.boxes.to(boxes.dtype)).masked_fill(~targets.crowd, -1.0).max(1).values
        return torch.where((inside > self.crowd_ioa) & (matched == BACKGROUND), IGNORED, matched)


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


def sample_each_image(
    matched: Sequence[Tensor], max_samples: int, positive_fraction: float, seeds: Sequence[int], purpose: str
) -> list[tuple[Tensor, Tensor]]:
    """Return ``sample_foreground_background`` of each image; a GPU is waited for once, not several times an image."""
    if not matched or not matched[0].is_cuda:
        return [
            sample_foreground_background(image, max_samples, positive_fraction, seed, purpose)
            for image, seed in zip(matched, seeds, strict=True)
        ]
    return sample_in_one_read(matched, max_samples, positive_fraction, seeds, purpose)


def sample_in_one_read(
    matched: Sequence[Tensor], max_samples: int, positive_fraction: float, seeds: Sequence[int], purpose: str
) -> list[tuple[Tensor, Tensor]]:
    """Return what ``sample_each_image`` returns: as many candidates as there may be, then all counts in one read."""
    max_foreground = int(max_samples * positive_fraction)
    foreground, background = [], []
    for image, seed in zip(matched, seeds, strict=True):
        random_values = randomness.uniform(len(image), image.device, seed, purpose)
        foreground.append(_order_lowest(image >= 0, max_foreground, random_values))
        background.append(_order_lowest(image == BACKGROUND, max_samples, random_values))
    masks = [mask for image in matched for mask in (image >= 0, image == BACKGROUND)]
    counts = torch.stack([mask.sum() for mask in masks]).tolist()
    samples = []
    for i, (image_foreground, image_background) in enumerate(zip(foreground, background, strict=True)):
        num_foreground = min(counts[2 * i], max_foreground)
        num_background = min(counts[2 * i + 1], max_samples - num_foreground)
        samples.append((image_foreground[:num_foreground], image_background[:num_background]))
    return samples


def _draw_lowest(mask: Tensor, max_count: int, random_values: Tensor) -> Tensor:
    """Return the indices of at most ``max_count`` true entries of ``mask`` (B,), those of the lowest random values."""
    indices = mask.nonzero().flatten()
    return indices[random_values[indices].topk(min(max_count, len(indices)), largest=False).indices]


def _order_lowest(mask: Tensor, max_count: int, random_values: Tensor) -> Tensor:
    """Return the indices (min(max_count, B),) that begin with those of ``_draw_lowest``; the rest are not true."""
    return random_values.masked_fill(~mask, 2.0).topk(min(max_count, len(mask)), largest=False).indices


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

    def sample(self, proposals: Sequence[Proposals], targets: Sequence[Targets], seeds: Sequence[int]) -> list[Samples]:
        """Sample from the proposals of each image, foreground first: P proposals, G targets -> S samples."""
        boxes, matched = zip(*map(self._match, proposals, targets), strict=True)
        sampled = sample_each_image(matched, self.batch_size_per_image, self.positive_fraction, seeds, "regions")
        return [
            _to_samples(image_boxes, image_targets, image_matched, torch.cat(image_sampled))
            for image_boxes, image_targets, image_matched, image_sampled in zip(
                boxes, targets, matched, sampled, strict=True
            )
        ]

    def _match(self, proposals: Proposals, targets: Targets) -> tuple[Tensor, Tensor]:
        """Return the boxes (B, 4) to sample from and their matches (B,); crowds are last and ignored."""
        boxes = proposals.boxes
        if not self.add_gt_proposals:
            return boxes, self.matcher.match(boxes, targets)
        order = targets.crowd.long().argsort(stable=True)
        boxes = torch.cat([boxes, targets.boxes[order].to(boxes.dtype)])
        matched = self.matcher.match(boxes, targets)
        is_crowd = torch.cat([torch.zeros_like(proposals.scores, dtype=torch.bool), targets.crowd[order]])
        return boxes, matched.masked_fill(is_crowd, IGNORED)


def match_all(matcher: Matcher, boxes: Sequence[Tensor], targets: Sequence[Targets]) -> list[Samples]:
    """Return all boxes (B, 4) of each image as samples, except empty ones and those that the matcher ignores.

    A GPU is waited for once, for the numbers of samples of all images.
    """
    matched = [matcher.match(*image) for image in zip(boxes, targets, strict=True)]
    kept = [(match != IGNORED) & box_ops.is_not_empty(box) for match, box in zip(matched, boxes, strict=True)]
    counts = torch.stack([mask.sum() for mask in kept]).tolist()
    orders = [(~mask).long().argsort(stable=True) for mask in kept]  # the indices that are kept come first, in order
    return [
        _to_samples(image_boxes, image_targets, image_matched, order[:count])
        for image_boxes, image_targets, image_matched, order, count in zip(
            boxes, targets, matched, orders, counts, strict=True
        )
    ]


def _to_samples(boxes: Tensor, targets: Targets, matched: Tensor, sampled: Tensor) -> Samples:
    """Return boxes (B, 4) at the indices ``sampled`` (S,) with the targets that ``matched`` (B,) gives them."""
    target = matched[sampled]
    if len(targets) == 0:
        nothing = torch.zeros_like(target)
        return Samples(boxes[sampled], nothing, boxes[sampled], target_index=nothing)
    index = target.clamp(min=0)
    labels = torch.where(target >= 0, targets.labels[index], 0)
    return Samples(boxes[sampled], labels, targets.boxes[index].to(boxes.dtype), target_index=index)
