"""What happened to each detection, read off a trace: numbers for JSON and for the page.

Ranks count from 1, the best first. Boxes are in pixels of the picture that entered the network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from detect.explain.trace.trace import Trace
from detect.models.detector import Detector
from detect.models.proposers.candidates import Candidates
from detect.models.proposers.rpn import RPN
from detect.models.regions.pooled import PooledRegions
from detect.models.regions.pyramid import PyramidRegions
from detect.models.regions.warped_crops import WarpedCrops
from detect.ops import boxes as box_ops

DetectionRecord = dict[str, Any]


def describe_detections(traced: Trace, detector: Detector) -> list[DetectionRecord]:
    """One of each detection, best first: anchor or given rank, proposal, region, head, and both suppressions."""
    anchors = _AnchorDescriptions(traced, detector) if traced.candidates is not None else None
    ranks = _ranks(traced.scored.scores)
    source = traced.scored.proposal_index
    assert source is not None  # Postprocess always says it
    told = []
    for place, scored in enumerate(traced.keep.tolist()):
        proposal, label = int(source[scored]), int(traced.scored.labels[scored])
        told.append(
            {
                "rank": place + 1,
                "rank_before_nms": int(ranks[scored]) + 1,
                "scored": len(ranks),
                "label": label,
                "name": traced.scored.classes[label - 1],
                "score": float(traced.scored.scores[scored]),
                "box": traced.scored.boxes[scored].tolist(),
                "suppressed": _suppressed(traced, scored, ranks),
                "head": _head(traced, detector, proposal, label),
                "region": _region(detector.regions, traced.proposals.boxes[proposal]),
                "proposal": _proposal(traced, proposal),
                "anchor": None if anchors is None else anchors.describe(proposal),
            }
        )
    return told


def _suppressed(traced: Trace, winner: int, ranks: Tensor) -> list[DetectionRecord]:
    """The pairs of the same class that this detection took out, best first."""
    losers = [place for place in (traced.suppressed_by == winner).nonzero().flatten().tolist() if place != winner]
    losers.sort(key=lambda place: int(ranks[place]))
    boxes, source = traced.scored.boxes, traced.scored.proposal_index
    assert source is not None
    overlaps = box_ops.iou(boxes[winner][None], boxes[losers])[0].tolist()
    return [
        {
            "rank_before_nms": int(ranks[place]) + 1,
            "score": float(traced.scored.scores[place]),
            "box": boxes[place].tolist(),
            "iou": overlap,
            "proposal": int(source[place]) + 1,
        }
        for place, overlap in zip(losers, overlaps, strict=True)
    ]


def _head(traced: Trace, detector: Detector, proposal: int, label: int) -> DetectionRecord:
    """Logits with the background first, the score of each class, the four deltas that moved the proposal."""
    scores = detector.postprocess.score_fn(traced.logits)[proposal]
    own = traced.deltas[proposal]
    return {
        "logits": traced.logits[proposal].tolist(),
        "scores": scores.tolist(),
        "deltas": own[label - 1 if len(own) > 1 else 0].tolist() if detector.postprocess.apply_deltas else None,
    }


def _proposal(traced: Trace, proposal: int) -> DetectionRecord:
    """given_rank: its place in the file or the search, None of an RPN's."""
    source = traced.proposals.source_index
    given = None if source is None or traced.candidates is not None else int(source[proposal]) + 1
    return {
        "rank": proposal + 1,
        "of": len(traced.proposals),
        "score": float(traced.proposals.scores[proposal]),
        "box": traced.proposals.boxes[proposal].tolist(),
        "given_rank": given,
    }


def _region(regions: object, box: Tensor) -> DetectionRecord:
    """What the head saw of the proposal: a window of a map, in its cells, or of the pixels."""
    if isinstance(regions, PyramidRegions):
        level = int(regions.assign_levels(box[None])[0])
        pooled = regions.levels[level]
        assert isinstance(pooled, PooledRegions)
        return _window(pooled, box) | {"map": level + 1}
    if isinstance(regions, PooledRegions):
        return _window(regions, box) | {"map": 1}
    if isinstance(regions, WarpedCrops):
        margin = (box[2:] - box[:2]) * (regions.context / (regions.crop_size - 2 * regions.context))
        window = torch.cat([box[:2] - margin, box[2:] + margin]).tolist()
        return {"how": "warped crop", "window": window, "side": regions.crop_size, "bins": regions.pool_size}
    raise TypeError(f"expected PooledRegions, PyramidRegions or WarpedCrops, found {type(regions).__name__}")


def _window(pooled: PooledRegions, box: Tensor) -> DetectionRecord:
    cells = (box / pooled.stride).tolist()
    return {"how": pooled.pool, "window": cells, "stride": pooled.stride, "bins": pooled.pool_size}


class _AnchorDescriptions:
    """Which anchor each proposal was, and what it took out; made once an image, asked once a detection."""

    def __init__(self, traced: Trace, detector: Detector) -> None:
        assert traced.candidates is not None
        assert isinstance(detector.proposer, RPN)
        self.traced = traced
        self.candidates: Candidates = traced.candidates
        self.shapes = detector.proposer.anchor_generator
        self.eligible = self.candidates.eligible(detector.test_selection)
        self.keep = self.candidates.nms_keep(detector.test_selection)
        self.suppressed_by = self.candidates.suppressed_by(detector.test_selection)
        self.ranks = torch.full_like(self.candidates.anchor_index, -1)
        self.ranks[self.eligible] = _ranks(self.candidates.logits[self.eligible])

    def describe(self, proposal: int) -> DetectionRecord:
        """Of the anchor that became ``proposal``; cell: row and column on its map, ratio: height over width."""
        place = int(self.keep[proposal])
        level, index = int(self.candidates.level[place]), int(self.candidates.anchor_index[place])
        cell, shape = divmod(index - sum(self.traced.counts[:level]), self.shapes.num_anchors_per_location(level))
        row, column = divmod(cell, self.traced.grids[level][1])
        side, ratio = divmod(shape, len(self.shapes.aspect_ratios))
        return {
            "index": index,
            "of": sum(self.traced.counts),
            "map": level + 1,
            "cell": [row, column],
            "side": self.shapes.sizes[level][side],
            "ratio": self.shapes.aspect_ratios[ratio],
            "box": self.candidates.anchors[place].tolist(),
            "logit": float(self.candidates.logits[place]),
            "deltas": self.candidates.deltas[place].tolist(),
            "rank_before_nms": int(self.ranks[place]) + 1,
            "candidates": len(self.eligible),
            "suppressed": self._suppressed(place),
        }

    def _suppressed(self, winner: int) -> list[DetectionRecord]:
        losers = [place for place in (self.suppressed_by == winner).nonzero().flatten().tolist() if place != winner]
        losers.sort(key=lambda place: int(self.ranks[place]))
        boxes = self.candidates.boxes
        overlaps = box_ops.iou(boxes[winner][None], boxes[losers])[0].tolist()
        return [
            {
                "index": int(self.candidates.anchor_index[place]),
                "rank_before_nms": int(self.ranks[place]) + 1,
                "logit": float(self.candidates.logits[place]),
                "box": boxes[place].tolist(),
                "iou": overlap,
            }
            for place, overlap in zip(losers, overlaps, strict=True)
        ]


def _ranks(scores: Tensor) -> Tensor:
    """Scores (B,) -> the place of each (B,) by falling score, from 0, as NMS takes them."""
    order = torch.sort(scores, descending=True, stable=True).indices
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device=order.device)
    return ranks
