"""A detection held fast, so that its score and its edges can be asked of changed pixels.

The detection's own proposal is scored again. A detection found anew on changed pixels and matched by IoU can be lost,
or be another one; and a proposal is a constant in training too, no gradient goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from detect.explain.trace.trace import Trace
from detect.models.detector import Detector
from detect.models.postprocess import Postprocess, logistic
from detect.models.regions.warped_crops import WarpedCrops
from detect.ops import boxes as box_ops
from detect.ops.warp import warp
from detect.types import Images, Proposals, Size

Quantity = Literal["score", "x1", "y1", "x2", "y2"]
EDGES: tuple[Quantity, ...] = ("x1", "y1", "x2", "y2")
LogitsAndDeltas = tuple[Tensor, Tensor]  # logits (N, D, K + 1), deltas (N, D, K, 4)


@dataclass(frozen=True)
class TargetDetection:
    """rank: its place among the detections, from 1; label in 1..K; box and proposal (4,) in canvas pixels."""

    rank: int
    label: int
    score: float
    box: Tensor
    proposal: Tensor


def target_detections(traced: Trace) -> list[TargetDetection]:
    """Every detection of an image, best first."""
    source = traced.scored.proposal_index
    assert source is not None  # Postprocess always says it
    return [
        TargetDetection(
            place,
            int(traced.scored.labels[scored]),
            float(traced.scored.scores[scored]),
            traced.scored.boxes[scored],
            traced.proposals.boxes[source[scored]],
        )
        for place, scored in enumerate(traced.keep.tolist(), 1)
    ]


@dataclass(frozen=True)
class AttributionTarget:
    """Pixels that a network reads, and what it says of D pinned detections when they change.

    pixels (1, 3, H, W), normalised, 0 the mean colour; size: the (h, w) of them that is picture; window (4,): where
    they lie, in canvas pixels; network: what runs on them, whose layers have names; says: pixels (N, 3, H, W) -> logits
    and deltas of the pinned proposals; of: what of a detection is asked for.
    """

    pixels: Tensor
    size: Size
    window: Tensor
    network: nn.Module
    detections: tuple[TargetDetection, ...]
    postprocess: Postprocess
    quantity: Quantity
    forward: Callable[[Tensor], LogitsAndDeltas]

    def objective(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, D), to be differentiated: log-odds of the score, or the place of the edge in pixels.

        Log-odds, because the gradient of a score of 0.999 is a thousandth of its log-odds'.
        """
        logits, deltas = self.forward(pixels)
        if self.quantity != "score":
            return self._edges(deltas)
        odds = [self._log_odds(logits[:, place], one.label) for place, one in enumerate(self.detections)]
        return torch.stack(odds, 1)

    def output(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, D), to be compared: the score in 0..1, or the place of the edge in pixels."""
        logits, deltas = self.forward(pixels)
        if self.quantity != "score":
            return self._edges(deltas)
        scores = self.postprocess.score_fn(logits.flatten(0, 1)).view(*logits.shape[:2], -1)
        return torch.stack([scores[:, place, one.label - 1] for place, one in enumerate(self.detections)], 1)

    def box_sizes(self) -> list[float]:
        """Of each detection the root of its box's area, in the view's own pixels."""
        window, pixels = box_ops.areas(self.window[None]), self.pixels.shape[2] * self.pixels.shape[3]
        boxes = torch.stack([one.box for one in self.detections])
        return (box_ops.areas(boxes) / window * pixels).sqrt().tolist()

    def _log_odds(self, logits: Tensor, label: int) -> Tensor:
        if self.postprocess.score_fn is logistic:
            return logits[:, label] - logits[:, 0]
        others = torch.cat([logits[:, :label], logits[:, label + 1 :]], 1)
        return logits[:, label] - others.logsumexp(1)

    def _edges(self, deltas: Tensor) -> Tensor:
        """Before clipping, which would stop gradients at the picture's border."""
        edge, found = EDGES.index(self.quantity), []
        for place, one in enumerate(self.detections):
            own = deltas[:, place, one.label - 1 if deltas.shape[2] > 1 else 0]
            boxes = one.proposal.expand(len(own), 4)
            found.append(box_ops.decode(own, boxes, self.postprocess.delta_stds, self.postprocess.max_scale)[:, edge])
        return torch.stack(found, 1)


def attribution_targets(detector: Detector, images: Images, pinned: Sequence[TargetDetection], of: Quantity) -> list[AttributionTarget]:
    """What the detections of one image were seen in: all in the picture, or each in its warped crop (R-CNN)."""
    if isinstance(detector.regions, WarpedCrops):
        return [_crop_view(detector, detector.regions, images, one, of) for one in pinned]
    return [_picture_view(detector, images, tuple(pinned), of)] if pinned else []


def _picture_view(detector: Detector, images: Images, pinned: tuple[TargetDetection, ...], of: Quantity) -> AttributionTarget:
    boxes = torch.stack([one.proposal for one in pinned])
    proposals = Proposals(boxes, torch.ones_like(boxes[:, 0]))

    def says(pixels: Tensor) -> LogitsAndDeltas:
        copies = Images(pixels, images.sizes * len(pixels), images.seeds * len(pixels))
        raw = detector.run_head(copies, detector.backbone(pixels), (proposals,) * len(pixels))
        return torch.stack(raw.logits), torch.stack(raw.deltas)

    height, width = images.pixels.shape[2:]
    window = boxes.new_tensor([0, 0, width, height])
    network = detector.backbone
    return AttributionTarget(images.pixels, images.sizes[0], window, network, pinned, detector.postprocess, of, says)


def _crop_view(detector: Detector, regions: WarpedCrops, images: Images, pinned: TargetDetection, of: Quantity) -> AttributionTarget:
    boxes = pinned.proposal[None]
    crop = warp(images.pixels, images.sizes, [boxes], regions.crop_size, regions.context)

    def says(pixels: Tensor) -> LogitsAndDeltas:
        logits, deltas = detector.head(regions.extract_features(pixels))
        return logits[:, None], deltas[:, None]

    margin = (boxes[0, 2:] - boxes[0, :2]) * (regions.context / (regions.crop_size - 2 * regions.context))
    window = torch.cat([boxes[0, :2] - margin, boxes[0, 2:] + margin])
    size = (regions.crop_size, regions.crop_size)
    return AttributionTarget(crop, size, window, regions, (pinned,), detector.postprocess, of, says)
