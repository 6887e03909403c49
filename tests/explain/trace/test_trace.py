"""The trace is equal to the output of the detector itself, for all three kinds."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from detect.config.builders.detector import build_detector
from detect.config.files import parse_config
from detect.explain.trace.describe import describe_detections
from detect.explain.trace.record import recompute, recompute_proposals, to_record
from detect.explain.trace.trace import trace
from detect.models.detector import Detector
from detect.ops import boxes as box_ops
from detect.types import Images, Proposals
from tests.models.test_detector import CLASSES, LEVELS, PYRAMID, SIDE, sharpen

BACKBONE = {"name": "small", "norm": "frozen", "output": "merged", "neck_channels": 16}
RPN = {"channels": 16, "anchor_sizes": [12, 24, 48], "post_nms_top_n_test": 40, "allowed_border": None}
HEAD = {"type": "fc", "fc_dim": 32, "pool_size": 4, "batch_size_per_image": 16}
PRECOMPUTED = {"proposals": "selective_search", "backbone": BACKBONE, "head": HEAD}
KINDS: dict[str, dict[str, Any]] = {
    "faster_rcnn": {"backbone": BACKBONE, "rpn": RPN, "head": HEAD},
    "pyramid": {"backbone": BACKBONE | PYRAMID, "rpn": RPN | LEVELS, "head": HEAD},
    "svm": {"backbone": BACKBONE, "rpn": RPN, "head": HEAD, "classifier": "svm"},
    "random": {"backbone": BACKBONE, "rpn": RPN | {"rank": "random", "box_regression": False}, "head": HEAD},
    "capped": {
        "backbone": BACKBONE,
        "rpn": RPN | {"delta_stds": [0.5, 0.25, 0.1, 0.2]},
        "head": HEAD,
        "postprocess": {"pre_nms_top_n_per_class": 10},
    },
    "fast_rcnn": PRECOMPUTED | {"kind": "fast_rcnn"},
    "cascade_rcnn": {"kind": "cascade_rcnn", "backbone": BACKBONE, "rpn": RPN, "head": HEAD},
    "cascade of each class": PRECOMPUTED
    | {
        "kind": "fast_rcnn",
        "cascade": {"ious": [0.5, 0.7], "average": "logits"},
        "head": HEAD | {"class_agnostic": False},
    },
    "mask_rcnn": {
        "kind": "mask_rcnn",
        "backbone": BACKBONE,
        "rpn": RPN,
        "head": HEAD,
        "mask": {"pool_size": 4, "num_convs": 1, "channels": 8},
    },
    "rcnn": PRECOMPUTED | {"kind": "rcnn", "crop": {"size": 64}, "head": HEAD | {"pool_size": 2}},
}


def build_example(kind: str, seed: int) -> Detector:
    postprocess = {"score_threshold": 0.2, "nms_iou": 0.5, "max_detections": 1000}
    model = KINDS[kind] | {"postprocess": postprocess | KINDS[kind].get("postprocess", {})}
    train = {"steps": 1} | ({"recipe": "rcnn"} if kind == "rcnn" else {})
    detector = build_detector(parse_config({"seed": seed, "model": model, "train": train}, "test"), CLASSES)[0]
    return sharpen(detector).eval()


def make_images(seed: int, with_proposals: bool, num_proposals: int = 60) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=generator)
    if not with_proposals:
        return Images(pixels, ((SIDE, SIDE - 8),), (seed,))
    corners = torch.rand(num_proposals, 2, 2, generator=generator).sort(1).values * (SIDE - 8)
    proposals = Proposals(corners.reshape(-1, 4), torch.rand(num_proposals, generator=generator))
    return Images(pixels, ((SIDE, SIDE - 8),), (seed,), (proposals,))


def has_precomputed_proposals(kind: str) -> bool:
    return "proposals" in KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_recompute_gives_the_same_bits_as_the_detector(kind: str) -> None:
    count = 0
    for seed in range(4):
        detector, batch = build_example(kind, seed), make_images(seed, has_precomputed_proposals(kind))
        (detections,) = detector.detect(batch)
        (traced,) = trace(detector, batch)
        recorded = json.loads(json.dumps(to_record(traced, detector)))
        for other in (traced.detections, recompute(recorded)):
            assert torch.equal(other.boxes, detections.boxes)
            assert torch.equal(other.scores, detections.scores)
            assert torch.equal(other.labels, detections.labels)
            assert other.classes == detections.classes
        assert torch.equal(recompute_proposals(recorded).boxes, traced.proposals.boxes)
        assert torch.equal(recompute_proposals(recorded).scores, traced.proposals.scores)
        count += len(detections)
    assert count > 50


def test_trace_of_capped_classes_has_no_more_pairs_of_a_class() -> None:
    (traced,) = trace(build_example("capped", 1), make_images(1, False))
    assert traced.scored.labels.bincount().max() == 10


def test_recompute_reads_a_record_without_a_cap() -> None:
    detector, batch = build_example("faster_rcnn", 1), make_images(1, False)
    recorded = json.loads(json.dumps(to_record(trace(detector, batch)[0], detector)))
    del recorded["detection_rule"]["before_nms"]
    assert torch.equal(recompute(recorded).boxes, detector.detect(batch)[0].boxes)


def test_record_has_the_mask_logits_of_a_detection() -> None:
    detector, batch = build_example("mask_rcnn", 1), make_images(1, False)
    (traced,), (detections,) = trace(detector, batch), detector.detect(batch)
    assert detections.masks is not None
    assert traced.detections.masks is not None
    assert torch.equal(traced.detections.masks, detections.masks)
    records = describe_detections(traced, detector)
    assert len(records) == len(detections) > 0
    for record, mask in zip(records, detections.masks, strict=True):
        assert torch.equal(torch.tensor(record["mask"]).sigmoid(), mask)


def test_trace_without_proposals_is_empty() -> None:
    detector, batch = build_example("fast_rcnn", 0), make_images(0, True, num_proposals=0)
    (traced,) = trace(detector, batch)
    assert describe_detections(traced, detector) == []
    assert len(recompute(json.loads(json.dumps(to_record(traced, detector))))) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_record_leads_from_the_anchor_to_the_detection(kind: str) -> None:
    detector, batch = build_example(kind, 1), make_images(1, has_precomputed_proposals(kind))
    (traced,) = trace(detector, batch)
    records, postprocess = describe_detections(traced, detector), detector.postprocess
    assert [record["rank"] for record in records] == list(range(1, len(records) + 1))
    for record in records:
        stages = record["stages"]
        assert len(stages) == (0 if len(traced.stages) == 1 else len(traced.stages))
        if stages:
            assert stages[0]["box"] == record["proposal"]["box"]
            mean = sum(stage["score"] for stage in stages) / len(stages)
            assert detector.average == "logits" or mean == pytest.approx(record["score"], abs=1e-6)
        proposal = torch.tensor([stages[-1]["box"] if stages else record["proposal"]["box"]])
        moved = proposal
        if record["head"]["deltas"] is not None:
            moved = box_ops.decode(
                torch.tensor([record["head"]["deltas"]]), proposal, postprocess.delta_stds, postprocess.max_scale
            )
        assert box_ops.clip(moved, traced.size)[0].tolist() == record["box"]
        assert record["head"]["scores"][record["label"] - 1] == record["score"]
        if has_precomputed_proposals(kind):
            assert record["anchor"] is None
            assert batch.proposals is not None
            rank = record["proposal"]["given_rank"]
            assert batch.proposals[0].boxes[rank - 1].tolist() == record["proposal"]["box"]
            continue
        anchor = record["anchor"]
        box = box_ops.decode(torch.tensor([anchor["deltas"]]), torch.tensor([anchor["box"]]), (1.0, 1.0, 1.0, 1.0))
        assert box_ops.clip(box, traced.size)[0].tolist() == record["proposal"]["box"]
        x1, y1, x2, y2 = anchor["box"]
        assert (x2 - x1) * (y2 - y1) == pytest.approx(anchor["side"] ** 2, rel=1e-4)
        assert (y2 - y1) / (x2 - x1) == pytest.approx(anchor["ratio"], rel=1e-4)
        assert traced.anchors is not None
        stride = SIDE / traced.anchors.grids[anchor["map"] - 1][0]
        row, column = anchor["cell"]
        assert ((y1 + y2) / 2, (x1 + x2) / 2) == pytest.approx(((row + 0.5) * stride, (column + 0.5) * stride))


@pytest.mark.parametrize("kind", ["faster_rcnn", "capped", "pyramid", "rcnn"])
def test_every_scored_pair_is_a_detection_or_suppressed(kind: str) -> None:
    detector, batch = build_example(kind, 2), make_images(2, has_precomputed_proposals(kind))
    (traced,) = trace(detector, batch)
    records = describe_detections(traced, detector)
    assert len(records) < detector.postprocess.max_detections
    ranks = [record["rank_before_nms"] for record in records]
    ranks += [loser["rank_before_nms"] for record in records for loser in record["suppressed"]]
    assert sorted(ranks) == list(range(1, len(traced.scored) + 1))
    losers = [(record, loser) for record in records for loser in record["suppressed"]]
    assert losers
    for record, loser in losers:
        assert loser["rank_before_nms"] > record["rank_before_nms"]
        assert loser["iou"] > detector.postprocess.nms_iou - 1e-6
        assert loser["score"] <= record["score"]
