"""Runs an image through a detector and keeps every choice, with the detector's own functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detect.models.detector import Detector
from detect.models.proposers.candidates import Candidates
from detect.models.proposers.proposer import AnchorLayout
from detect.types import Detections, Images, Proposals, Size


@dataclass(frozen=True)
class Trace:
    """The intermediate results of one image; boxes are in canvas pixels.

    size: (h, w) of the image in canvas pixels; anchors: where the anchors of an RPN lie, and candidates: those that may
    become proposals, both None where proposals are precomputed; proposals:
    P of them; logits (P, K + 1) and deltas (P, K, 4): the output of the head; scored: the pairs of a proposal and a
    class that may become detections; keep: (D,) int64, the indices of those that became detections, by falling score;
    suppressed_by: the index of the pair that suppressed each pair of ``scored``, its own index where none did.
    """

    size: Size
    anchors: AnchorLayout | None
    candidates: Candidates | None
    proposals: Proposals
    logits: Tensor
    deltas: Tensor
    scored: Detections
    keep: Tensor
    suppressed_by: Tensor

    @property
    def detections(self) -> Detections:
        """Return the same detections as ``Detector.detect``."""
        return self.scored.select(self.keep)


@torch.no_grad()
def trace(detector: Detector, images: Images) -> list[Trace]:
    """Return the trace of each image. Computing which box suppressed which takes about 20 ms an image."""
    maps = detector.backbone(images.pixels)
    proposer = detector.proposer
    proposed = proposer(images, maps, detector.test_selection)
    raw = detector.run_head(images, maps, proposed.proposals)
    layout = proposer.anchor_layout(proposed.raw)
    candidates = proposer.candidates(proposed.raw, images.sizes, detector.test_selection)
    traces = []
    for size, image_candidates, proposals, logits, deltas in zip(
        images.sizes, candidates, raw.proposals, raw.logits, raw.deltas, strict=True
    ):
        scored = detector.postprocess.candidates(proposals, logits, deltas, size)
        keep, suppressed_by = detector.postprocess.nms_keep(scored), detector.postprocess.suppressed_by(scored)
        traces.append(Trace(size, layout, image_candidates, proposals, logits, deltas, scored, keep, suppressed_by))
    return traces
