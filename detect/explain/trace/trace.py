"""One image through a detector with every choice kept, by the detector's own functions: nothing is computed anew."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detect.models.detector import Detector
from detect.models.proposers.candidates import Candidates
from detect.models.proposers.rpn import RPN
from detect.types import Detections, Images, Proposals, Size


@dataclass(frozen=True)
class Trace:
    """Of one image, boxes in canvas pixels.

    size: (h, w) of the picture; grids: (h, w) of each map an RPN looked at, and counts: anchors on each; candidates:
    its anchors that may become proposals, None where these are given; proposals (P); logits (P, K + 1) and deltas
    (P, K, 4) of the head; scored: pairs of a proposal and a class that may become detections; kept (D,) int64: those
    that did, best first; takers: who suppressed each of ``scored``, itself where nobody did.
    """

    size: Size
    grids: tuple[Size, ...]
    counts: tuple[int, ...]
    candidates: Candidates | None
    proposals: Proposals
    logits: Tensor
    deltas: Tensor
    scored: Detections
    keep: Tensor
    suppressed_by: Tensor

    @property
    def detections(self) -> Detections:
        """What ``Detector.detect`` answers."""
        return self.scored.select(self.keep)


@torch.no_grad()
def trace(detector: Detector, images: Images) -> list[Trace]:
    """The trace of each image. Suppressors are found pair by pair: some 20 ms an image."""
    maps = detector.backbone(images.pixels)
    proposer = detector.proposer
    proposed = proposer(images, maps, detector.test_selection)
    raw = detector.run_head(images, maps, proposed.proposals)
    learned = isinstance(proposer, RPN)
    grids = tuple((int(one.shape[2]), int(one.shape[3])) for one in maps) if learned else ()
    counts = proposed.raw.counts if learned else ()
    candidates: list[Candidates | None] = [None] * len(images)
    if isinstance(proposer, RPN):
        candidates = list(proposer.candidates(proposed.raw, images.sizes, detector.test_selection))
    traces = []
    for size, own, proposals, logits, deltas in zip(
        images.sizes, candidates, raw.proposals, raw.logits, raw.deltas, strict=True
    ):
        scored = detector.postprocess.candidates(proposals, logits, deltas, size)
        kept, takers = detector.postprocess.nms_keep(scored), detector.postprocess.suppressed_by(scored)
        traces.append(Trace(size, grids, counts, own, proposals, logits, deltas, scored, kept, takers))
    return traces
