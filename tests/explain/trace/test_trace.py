"""The trace against the detector itself, for all three kinds."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from detect.config.builders.detector import build_detector
from detect.config.files import parse_config
from detect.explain.trace.describe import describe_detections
from detect.explain.trace.record import to_record, recompute, recompute_proposals
from detect.explain.trace.trace import trace
from detect.models.detector import Detector
from detect.ops import boxes as box_ops
from detect.types import Images, Proposals
from tests.models.test_detector import CLASSES, LEVELS, PYRAMID, SIDE, sharpen

BACKBONE = {"name": "small", "norm": "frozen", "output": "merged", "neck_channels": 16}
RPN = {"channels": 16, "anchor_sizes": [12, 24, 48], "post_nms_top_n_test": 40, "allowed_border": None}
HEAD = {"type": "fc", "fc_dim": 32, "pool_size": 4, "batch_size_per_image": 16}
GIVEN = {"proposals": "selective_search", "backbone": BACKBONE, "head": HEAD}
KINDS: dict[str, dict[str, Any]] = {
    "faster_rcnn": {"backbone": BACKBONE, "rpn": RPN, "head": HEAD},
    "pyramid": {"backbone": BACKBONE | PYRAMID, "rpn": RPN | LEVELS, "head": HEAD},
    "svm": {"backbone": BACKBONE, "rpn": RPN, "head": HEAD, "classifier": "svm"},
    "fast_rcnn": GIVEN | {"kind": "fast_rcnn"},
    "rcnn": GIVEN | {"kind": "rcnn", "crop": {"size": 64}, "head": HEAD | {"pool_size": 2}},
}


def build(kind: str, seed: int) -> Detector:
    model = KINDS[kind] | {"postprocess": {"score_threshold": 0.2, "nms_iou": 0.5, "max_detections": 1000}}
    train = {"steps": 1} | ({"recipe": "rcnn"} if kind == "rcnn" else {})
    detector = build_detector(parse_config({"seed": seed, "model": model, "train": train}, "test"), CLASSES)[0]
    return sharpen(detector).eval()


def image(seed: int, given: bool, number: int = 60) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=generator)
    if not given:
        return Images(pixels, ((SIDE, SIDE - 8),), (seed,))
    corners = torch.rand(number, 2, 2, generator=generator).sort(1).values * (SIDE - 8)
    proposals = Proposals(corners.reshape(-1, 4), torch.rand(number, generator=generator))
    return Images(pixels, ((SIDE, SIDE - 8),), (seed,), (proposals,))


def is_given(kind: str) -> bool:
    return "proposals" in KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_detections_recomputed_from_the_written_trace_are_the_same_bits(kind: str) -> None:
    counted = 0
    for seed in range(4):
        detector, batch = build(kind, seed), image(seed, is_given(kind))
        (found,) = detector.detect(batch)
        (traced,) = trace(detector, batch)
        recorded = json.loads(json.dumps(to_record(traced, detector)))
        again = recompute(recorded)
        for one in (traced.detections, again):
            assert torch.equal(one.boxes, found.boxes)
            assert torch.equal(one.scores, found.scores)
            assert torch.equal(one.labels, found.labels)
            assert one.classes == found.classes
        assert torch.equal(recompute_proposals(recorded).boxes, traced.proposals.boxes)
        assert torch.equal(recompute_proposals(recorded).scores, traced.proposals.scores)
        counted += len(found)
    assert counted > 50


def test_no_proposals_have_an_empty_trace() -> None:
    detector, batch = build("fast_rcnn", 0), image(0, True, number=0)
    (traced,) = trace(detector, batch)
    assert describe_detections(traced, detector) == []
    assert len(recompute(json.loads(json.dumps(to_record(traced, detector))))) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_story_leads_from_the_anchor_to_the_detection(kind: str) -> None:
    detector, batch = build(kind, 1), image(1, is_given(kind))
    (traced,) = trace(detector, batch)
    told, rule = describe_detections(traced, detector), detector.postprocess
    assert [story["rank"] for story in told] == list(range(1, len(told) + 1))
    for story in told:
        proposal = torch.tensor([story["proposal"]["box"]])
        moved = proposal
        if story["head"]["deltas"] is not None:
            moved = box_ops.decode(torch.tensor([story["head"]["deltas"]]), proposal, rule.delta_stds, rule.max_scale)
        assert box_ops.clip(moved, traced.size)[0].tolist() == story["box"]
        assert story["head"]["scores"][story["label"] - 1] == story["score"]
        if is_given(kind):
            assert story["anchor"] is None
            assert batch.proposals is not None
            rank = story["proposal"]["given_rank"]
            assert batch.proposals[0].boxes[rank - 1].tolist() == story["proposal"]["box"]
            continue
        anchor = story["anchor"]
        box = box_ops.decode(torch.tensor([anchor["deltas"]]), torch.tensor([anchor["box"]]), (1.0, 1.0, 1.0, 1.0))
        assert box_ops.clip(box, traced.size)[0].tolist() == story["proposal"]["box"]
        x1, y1, x2, y2 = anchor["box"]
        assert (x2 - x1) * (y2 - y1) == pytest.approx(anchor["side"] ** 2, rel=1e-4)
        assert (y2 - y1) / (x2 - x1) == pytest.approx(anchor["ratio"], rel=1e-4)
        stride = SIDE / traced.grids[anchor["map"] - 1][0]
        row, column = anchor["cell"]
        assert ((y1 + y2) / 2, (x1 + x2) / 2) == pytest.approx(((row + 0.5) * stride, (column + 0.5) * stride))


@pytest.mark.parametrize("kind", ["faster_rcnn", "pyramid", "rcnn"])
def test_every_pair_was_kept_suppressed_or_beyond_the_limit(kind: str) -> None:
    detector, batch = build(kind, 2), image(2, is_given(kind))
    (traced,) = trace(detector, batch)
    told = describe_detections(traced, detector)
    assert len(told) < detector.postprocess.max_detections
    ranks = [story["rank_before_nms"] for story in told]
    ranks += [loser["rank_before_nms"] for story in told for loser in story["suppressed"]]
    assert sorted(ranks) == list(range(1, len(traced.scored) + 1))
    losers = [(story, loser) for story in told for loser in story["suppressed"]]
    assert losers
    for story, loser in losers:
        assert loser["rank_before_nms"] > story["rank_before_nms"]
        assert loser["iou"] > detector.postprocess.nms_iou - 1e-6
        assert loser["score"] <= story["score"]
