"""Detections as targets of an explanation: the score and the edges of a given detection, recomputed on changed pixels.

A detection is explained with its proposal pinned (held fixed): the head scores the same proposal again.

1. Run the detector on the image and keep the trace: each detection has a class and the proposal it was regressed from.
2. Replace the pixels (add noise, hide a patch, or leave them as they are and ask for gradients).
3. Run the backbone on the new pixels, pool the region of the same proposal, and run the head on it. The RPN, the NMS
   and the matching of detections do not run.
4. Read from the head the score of the same class, or decode its deltas and read one edge of the box. A cascade refines
   the proposal on the new pixels.

Example: a dog is detected with score 0.90 from the proposal (16, 6, 40, 30). With its ears hidden, the head gives this
proposal the score 0.35 for "dog": hiding the ears costs 0.55. Running the whole detector again would not measure this
number: it may find the dog from another proposal with score 0.70, or not at all, and then a match by IoU finds another
detection or none. No information is lost by the pinning: in training a proposal is a constant too, and no gradient goes
through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from detect.explain.trace.trace import Trace
from detect.models.detector import Detector
from detect.models.postprocess import Postprocess, logistic
from detect.models.slots import FeatureNetwork
from detect.ops import boxes as box_ops
from detect.ops.dtype import at_least_float32
from detect.types import Images, Proposals, Size

Quantity = Literal["score", "x1", "y1", "x2", "y2"]
EDGES: tuple[Quantity, ...] = ("x1", "y1", "x2", "y2")
Predictions = tuple[Tensor, Tensor, Tensor]  # logits (N, D, K + 1), deltas (N, D, K, 4), boxes (N, D, 4) that they move
Autocast = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class TargetDetection:
    """A detection to explain, and the proposal it was regressed from.

    rank: its position among the detections of the image, from 1; label: in 1..K; box and proposal: (4,) in canvas
    pixels.
    """

    rank: int
    label: int
    score: float
    box: Tensor
    proposal: Tensor


def target_detections(traced: Trace) -> list[TargetDetection]:
    """Return every detection of an image with its proposal, by falling score."""
    proposal_index = traced.scored.proposal_index
    assert proposal_index is not None  # Postprocess always sets it
    return [
        TargetDetection(
            rank,
            int(traced.scored.labels[index]),
            float(traced.scored.scores[index]),
            traced.scored.boxes[index],
            traced.proposals.boxes[proposal_index[index]],
        )
        for rank, index in enumerate(traced.keep.tolist(), 1)
    ]


@dataclass(frozen=True)
class AttributionTarget:
    """The pixels that a network reads, and D detections as functions of these pixels.

    pixels: (1, 3, H, W), normalized, 0 is the mean color; size: the (h, w) of the pixels that belong to the image, the
    rest is padding; window: (4,), the box of the pixels in canvas pixels; network: what runs on the pixels,
    whose layers have names; forward: maps pixels (N, 3, H, W) to the predictions for the D pinned proposals, at least
    float32 whatever the network computes in; quantity: what is explained of a detection, its score or an edge of
    its box; region_maps: returns the region maps (D, C, d, d) of the pinned proposals, None where each is a crop.
    """

    pixels: Tensor
    size: Size
    window: Tensor
    network: FeatureNetwork
    detections: tuple[TargetDetection, ...]
    postprocess: Postprocess
    quantity: Quantity
    forward: Callable[[Tensor], Predictions]
    region_maps: Callable[[], Tensor] | None = None

    def objective(self, pixels: Tensor) -> Tensor:
        """Return the values to differentiate: the log-odds of the score, or the edge in pixels. (N, 3, H, W) -> (N, D).

        Log-odds are used because the gradient of a score of 0.999 is a thousandth of the gradient of its log-odds.
        """
        logits, deltas, boxes = self.forward(pixels)
        if self.quantity != "score":
            return self._edges(deltas, boxes)
        odds = [self._log_odds(logits[:, i], detection.label) for i, detection in enumerate(self.detections)]
        return torch.stack(odds, 1)

    def output(self, pixels: Tensor) -> Tensor:
        """Return the values to compare: the score in 0..1, or the edge in pixels. (N, 3, H, W) -> (N, D)."""
        logits, deltas, boxes = self.forward(pixels)
        if self.quantity != "score":
            return self._edges(deltas, boxes)
        scores = self.postprocess.score_fn(logits.flatten(0, 1)).view(*logits.shape[:2], -1)
        return torch.stack([scores[:, i, detection.label - 1] for i, detection in enumerate(self.detections)], 1)

    def box_sizes(self) -> list[float]:
        """Return the square root of the box area of each detection, in pixels of ``pixels``."""
        window, pixels = box_ops.areas(self.window[None]), self.pixels.shape[2] * self.pixels.shape[3]
        boxes = torch.stack([detection.box for detection in self.detections])
        return (box_ops.areas(boxes) / window * pixels).sqrt().tolist()

    def _log_odds(self, logits: Tensor, label: int) -> Tensor:
        """Return the log-odds of a class from logits (N, K + 1): (N,)."""
        if self.postprocess.score_fn is logistic:
            return logits[:, label] - logits[:, 0]
        others = torch.cat([logits[:, :label], logits[:, label + 1 :]], 1)
        return logits[:, label] - others.logsumexp(1)

    def _edges(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Return the edge of each detection before clipping, which would stop gradients at the image's border.

        deltas: (N, D, K, 4), K is 1 where all classes share their deltas; boxes (N, D, 4); returns (N, D).
        """
        edge, edges = EDGES.index(self.quantity), []
        for i, detection in enumerate(self.detections):
            class_deltas = deltas[:, i, detection.label - 1 if deltas.shape[2] > 1 else 0]
            decoded = box_ops.decode(class_deltas, boxes[:, i], self.postprocess.delta_stds, self.postprocess.max_scale)
            edges.append(decoded[:, edge])
        return torch.stack(edges, 1)


def attribution_targets(
    detector: Detector,
    images: Images,
    detections: Sequence[TargetDetection],
    quantity: Quantity,
    autocast: Autocast = nullcontext,
) -> list[AttributionTarget]:
    """Return the targets of one image's detections: a single one on the whole image, or one for each warped crop
    (R-CNN).

    autocast: makes the context that the network runs in. What a method computes from the network's outputs stays
    outside of it: sums over many masks or channels need float32.
    """
    if not detections:
        return []
    crops = detector.regions.crops(images, [torch.stack([detection.proposal for detection in detections])])
    if crops is None:
        return [_image_target(detector, images, tuple(detections), quantity, autocast)]
    return [
        _crop_target(detector, crop[None], detection, quantity, autocast)
        for crop, detection in zip(crops, detections, strict=True)
    ]


def _image_target(
    detector: Detector,
    images: Images,
    detections: tuple[TargetDetection, ...],
    quantity: Quantity,
    autocast: Autocast,
) -> AttributionTarget:
    boxes = torch.stack([detection.proposal for detection in detections])
    proposals = Proposals(boxes, torch.ones_like(boxes[:, 0]))

    def forward(pixels: Tensor) -> Predictions:
        copies = Images(pixels, images.sizes * len(pixels), images.seeds * len(pixels))
        with autocast():
            raw = detector.run_head(copies, detector.backbone(pixels), (proposals,) * len(pixels))
        refined = torch.stack([image_proposals.boxes for image_proposals in raw.proposals])
        return at_least_float32(torch.stack(raw.logits)), at_least_float32(torch.stack(raw.deltas)), refined

    def region_maps() -> Tensor:
        with autocast():
            return at_least_float32(detector.regions(images, detector.backbone(images.pixels), [boxes]))

    height, width = images.pixels.shape[2:]
    window = boxes.new_tensor([0, 0, width, height])
    return AttributionTarget(
        images.pixels,
        images.sizes[0],
        window,
        detector.feature_network(),
        detections,
        detector.postprocess,
        quantity,
        forward,
        region_maps,
    )


def _crop_target(
    detector: Detector, crop: Tensor, detection: TargetDetection, quantity: Quantity, autocast: Autocast
) -> AttributionTarget:
    network = detector.feature_network()

    (stage,) = detector.head.stages  # boxes that move with the pixels would leave the crop

    def forward(pixels: Tensor) -> Predictions:
        with autocast():
            logits, deltas = stage(network.run(pixels))
        boxes = detection.proposal.expand(len(pixels), 1, 4)
        return at_least_float32(logits)[:, None], at_least_float32(deltas)[:, None], boxes

    size = (int(crop.shape[2]), int(crop.shape[3]))
    window = detector.regions.window(detection.proposal).box
    return AttributionTarget(crop, size, window, network, (detection,), detector.postprocess, quantity, forward)
