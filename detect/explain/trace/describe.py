"""Describes each detection of a trace as plain numbers, for JSON and for the page.

Ranks count from 1, the best first. Boxes are in canvas pixels, those of the image that entered the network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from detect.explain.trace.trace import Trace
from detect.models.detector import Detector
from detect.models.proposers.candidates import Candidates
from detect.models.slots import Regions
from detect.ops import boxes as box_ops

DetectionRecord = dict[str, Any]


def describe_detections(traced: Trace, detector: Detector) -> list[DetectionRecord]:
    """Return a record of each detection, by falling score: its anchor or the rank of its precomputed proposal, its
    proposal, its region, the stages of a cascade, the output of the head, the logits of its mask, row by row (None
    without a mask head), and what it suppressed in both rounds of NMS.
    """
    anchors = _AnchorDescriptions(traced, detector) if traced.candidates is not None else None
    ranks = _ranks(traced.scored.scores)
    proposal_index = traced.scored.proposal_index
    assert proposal_index is not None  # Postprocess always sets it
    records = []
    for position, index in enumerate(traced.keep.tolist()):
        proposal, label = int(proposal_index[index]), int(traced.scored.labels[index])
        records.append(
            {
                "rank": position + 1,
                "rank_before_nms": int(ranks[index]) + 1,
                "scored": len(ranks),
                "label": label,
                "name": traced.scored.classes[label - 1],
                "score": float(traced.scored.scores[index]),
                "box": traced.scored.boxes[index].tolist(),
                "suppressed": _suppressed(traced, index, ranks),
                "head": _head(traced, detector, proposal, label),
                "region": _region(detector.regions, traced.proposals.boxes[proposal]),
                "mask": None if traced.mask_logits is None else traced.mask_logits[position].tolist(),
                "stages": _stages(traced, detector, proposal, label),
                "proposal": _proposal(traced, proposal),
                "anchor": None if anchors is None else anchors.describe(proposal),
            }
        )
    return records


def _suppressed(traced: Trace, winner: int, ranks: Tensor) -> list[DetectionRecord]:
    """Return the pairs of the same class that this detection suppressed, by falling score."""
    boxes, proposal_index = traced.scored.boxes, traced.scored.proposal_index
    assert proposal_index is not None
    losers = _losers(traced.suppressed_by, winner, ranks)
    overlaps = box_ops.iou(boxes[winner][None], boxes[losers])[0].tolist()
    return [
        {
            "rank_before_nms": int(ranks[index]) + 1,
            "score": float(traced.scored.scores[index]),
            "box": boxes[index].tolist(),
            "iou": overlap,
            "proposal": int(proposal_index[index]) + 1,
        }
        for index, overlap in zip(losers, overlaps, strict=True)
    ]


def _losers(suppressed_by: Tensor, winner: int, ranks: Tensor) -> list[int]:
    """Return the indices of the boxes that ``winner`` suppressed, by their ranks."""
    losers = [index for index in (suppressed_by == winner).nonzero().flatten().tolist() if index != winner]
    losers.sort(key=lambda index: int(ranks[index]))
    return losers


def _head(traced: Trace, detector: Detector, proposal: int, label: int) -> DetectionRecord:
    """Return the logits with the background first, the score of each class, and the four deltas of this class.

    The deltas of a cascade are those of its last stage.
    """
    scores = detector.postprocess.score_fn(traced.logits)[proposal]
    deltas = traced.stages[-1].deltas[proposal]
    return {
        "logits": traced.logits[proposal].tolist(),
        "scores": scores.tolist(),
        "deltas": deltas[label - 1 if len(deltas) > 1 else 0].tolist() if detector.postprocess.apply_deltas else None,
    }


def _stages(traced: Trace, detector: Detector, proposal: int, label: int) -> list[DetectionRecord]:
    """Return the box that each stage of a cascade read, and its score of this class; nothing for a single stage."""
    if len(traced.stages) == 1:
        return []
    scores = [detector.postprocess.score_fn(stage.logits)[proposal, label - 1] for stage in traced.stages]
    return [
        {"stage": number, "box": stage.boxes[proposal].tolist(), "score": float(score)}
        for number, (stage, score) in enumerate(zip(traced.stages, scores, strict=True), start=1)
    ]


def _proposal(traced: Trace, proposal: int) -> DetectionRecord:
    """Return the proposal; given_rank: its rank in the file or the search, None for an RPN's proposal."""
    source = traced.proposals.source_index
    precomputed_rank = None if source is None or traced.candidates is not None else int(source[proposal]) + 1
    return {
        "rank": proposal + 1,
        "of": len(traced.proposals),
        "score": float(traced.proposals.scores[proposal]),
        "box": traced.proposals.boxes[proposal].tolist(),
        "given_rank": precomputed_rank,
    }


def _region(regions: Regions, box: Tensor) -> DetectionRecord:
    """Return the input of the head for a proposal: a window of a map, in its cells, or of the pixels."""
    window = regions.window(box)
    record = {"how": window.method, "window": window.box.tolist()}
    if window.map_index is None:
        return record | {"side": window.size[0], "bins": regions.pool_size}
    return record | {"stride": window.stride, "bins": regions.pool_size, "map": window.map_index + 1}


class _AnchorDescriptions:
    """Describes the anchor of each proposal and what it suppressed; built once for an image."""

    def __init__(self, traced: Trace, detector: Detector) -> None:
        assert traced.candidates is not None
        assert traced.anchors is not None
        self.candidates: Candidates = traced.candidates
        self.layout = traced.anchors
        self.eligible = self.candidates.eligible(detector.test_selection)
        self.keep = self.candidates.nms_keep(detector.test_selection)
        self.suppressed_by = self.candidates.suppressed_by(detector.test_selection)
        self.ranks = torch.full_like(self.candidates.anchor_index, -1)
        self.ranks[self.eligible] = _ranks(self.candidates.logits[self.eligible])

    def describe(self, proposal: int) -> DetectionRecord:
        """Return the anchor that became ``proposal``.

        cell: its row and column on its map; ratio: height over width; side: square root of its area, in canvas pixels.
        """
        index = int(self.keep[proposal])
        level, anchor = int(self.candidates.level[index]), int(self.candidates.anchor_index[index])
        position = self.layout.locate(anchor, level)
        return {
            "index": anchor,
            "of": sum(self.layout.counts),
            "map": level + 1,
            "cell": [position.row, position.column],
            "side": position.size,
            "ratio": position.aspect_ratio,
            "box": self.candidates.anchors[index].tolist(),
            "logit": float(self.candidates.logits[index]),
            "deltas": self.candidates.deltas[index].tolist(),
            "rank_before_nms": int(self.ranks[index]) + 1,
            "candidates": len(self.eligible),
            "suppressed": self._suppressed(index),
        }

    def _suppressed(self, winner: int) -> list[DetectionRecord]:
        losers = _losers(self.suppressed_by, winner, self.ranks)
        boxes = self.candidates.boxes
        overlaps = box_ops.iou(boxes[winner][None], boxes[losers])[0].tolist()
        return [
            {
                "index": int(self.candidates.anchor_index[index]),
                "rank_before_nms": int(self.ranks[index]) + 1,
                "logit": float(self.candidates.logits[index]),
                "box": boxes[index].tolist(),
                "iou": overlap,
            }
            for index, overlap in zip(losers, overlaps, strict=True)
        ]


def _ranks(scores: Tensor) -> Tensor:
    """Return the rank of each score by falling score, from 0, in the order of NMS: (B,) -> (B,) int64."""
    order = torch.sort(scores, descending=True, stable=True).indices
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device=order.device)
    return ranks
