"""Converts a trace to plain numbers for JSON, and recomputes the detections from these numbers alone.

They are the same to the bit if a CPU has made the trace; a GPU rounds sigmoid, softmax and exp in another way.
A float32 that is written with Python's shortest repr and read back is the same float32. All candidates are stored in
their order, also those that became no proposal: the rounding of torch's vectorized sigmoid depends on a number's
position in the tensor, so that only complete tensors give the same bits again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from detect.explain.trace.trace import StageTrace, Trace
from detect.models.detector import Detector
from detect.models.heads.cascade import mean_logits, refined_boxes
from detect.models.postprocess import Postprocess, logistic, softmax
from detect.models.proposers.candidates import Candidates
from detect.models.proposers.proposer import ProposalSelection
from detect.types import Detections, Proposals

VERSION = 1
SCORE_FUNCTIONS = {"softmax": softmax, "logistic": logistic}
TraceRecord = dict[str, Any]

# from the fields of ProposalSelection, Proposals and Postprocess to their keys in a record
SELECTION_KEYS = {
    "pre_nms_top_n": "before_nms",
    "post_nms_top_n": "after_nms",
    "nms_iou": "nms",
    "min_size": "min_side",
    "score_threshold": "score",
}
POSTPROCESS_KEYS = {
    "delta_stds": "stds",
    "score_threshold": "score",
    "nms_iou": "nms",
    "max_detections": "limit",
    "apply_deltas": "regress",
    "max_scale": "growth",
    "min_size": "min_side",
    "pre_nms_top_n_per_class": "before_nms",
}


def to_record(traced: Trace, detector: Detector) -> TraceRecord:
    """Return the numbers that ``recompute`` needs: the settings of both rounds of NMS, the RPN's candidates or the
    precomputed proposals, and the complete output of each stage of the head.

    Boxes are in pixels of the image of ``size`` (h, w) that entered the network.
    """
    postprocess, selection = detector.postprocess, detector.test_selection
    *earlier, last = traced.stages
    scoring = next(name for name, function in SCORE_FUNCTIONS.items() if function is postprocess.score_fn)
    return {
        "version": VERSION,
        "size": list(traced.size),
        "classes": list(postprocess.classes),
        "proposal_rule": {key: getattr(selection, field) for field, key in SELECTION_KEYS.items()},
        "detection_rule": {key: getattr(postprocess, field) for field, key in POSTPROCESS_KEYS.items()}
        | {"scoring": scoring},
        "candidates": None if traced.candidates is None else _candidates(traced.candidates),
        "proposals": _tensors_as_lists(
            traced.proposals, {"boxes": "boxes", "scores": "scores", "source_index": "source"}
        ),
        "regressors": last.deltas.shape[1],
        "earlier_stages": [
            {"stds": refinement.delta_stds} | _stage_outputs(stage)
            for stage, refinement in zip(earlier, detector.refinements, strict=True)
        ],
        "average": detector.average,
        "head": _stage_outputs(last),
    }


def _stage_outputs(stage: StageTrace) -> TraceRecord:
    return {"logits": stage.logits.tolist(), "deltas": stage.deltas.flatten(1).tolist()}


def recompute(recorded: TraceRecord) -> Detections:
    """Return the detections of a record, with the functions of the detector. Raises ValueError for another version."""
    if recorded["version"] != VERSION:
        raise ValueError(f"version: expected {VERSION}, found {recorded['version']}")
    saved = recorded["detection_rule"]
    fields = {field: saved[key] for field, key in POSTPROCESS_KEYS.items() if key in saved}  # older records lack one
    fields["delta_stds"] = tuple(fields["delta_stds"])
    postprocess = Postprocess(**fields, classes=tuple(recorded["classes"]), score_fn=SCORE_FUNCTIONS[saved["scoring"]])
    height, width = recorded["size"]
    proposals, all_logits = recompute_proposals(recorded), []
    average = recorded.get("average", "scores")  # older records lack it, and the earlier stages
    for stage in recorded.get("earlier_stages", []):
        logits, deltas = _recorded_outputs(stage, recorded)
        all_logits.append(logits)
        boxes = refined_boxes(
            proposals.boxes, logits, deltas, tuple(stage["stds"]), postprocess.max_scale, (height, width)
        )
        proposals = replace(proposals, boxes=boxes)
    logits, deltas = _recorded_outputs(recorded["head"], recorded)
    return postprocess(proposals, mean_logits([*all_logits, logits], average), deltas, (height, width))


def _recorded_outputs(stage: TraceRecord, recorded: TraceRecord) -> tuple[Tensor, Tensor]:
    """Return the logits (P, K + 1) and the deltas (P, K, 4) or (P, 1, 4) of a stage."""
    logits, num_regressors = _floats(stage["logits"], len(recorded["classes"]) + 1), recorded["regressors"]
    return logits, _floats(stage["deltas"], 4 * num_regressors).reshape(len(logits), num_regressors, 4)


def recompute_proposals(recorded: TraceRecord) -> Proposals:
    """Return the proposals of a record: computed from an RPN's anchors, or the precomputed ones unchanged."""
    if recorded["candidates"] is None:
        precomputed = recorded["proposals"]
        return Proposals(
            _floats(precomputed["boxes"], 4),
            torch.tensor(precomputed["scores"], dtype=torch.float32),
            _integers(precomputed["source"]),
        )
    stored = recorded["candidates"]
    height, width = recorded["size"]
    candidates = Candidates(
        _integers(stored["source"]),
        _floats(stored["anchors"], 4),
        torch.tensor(stored["logits"], dtype=torch.float32),
        _floats(stored["deltas"], 4),
        _integers(stored["maps"]),
        stored["levels"],
        (height, width),
        stored["growth"],
    )
    saved = recorded["proposal_rule"]
    return candidates.proposals(ProposalSelection(**{field: saved[key] for field, key in SELECTION_KEYS.items()}))


def _candidates(candidates: Candidates) -> TraceRecord:
    keys = {"anchor_index": "source", "anchors": "anchors", "logits": "logits", "deltas": "deltas", "level": "maps"}
    return _tensors_as_lists(candidates, keys) | {"levels": candidates.num_levels, "growth": candidates.max_scale}


def _tensors_as_lists(holder: object, keys: dict[str, str]) -> TraceRecord:
    """Return the tensors of ``holder`` as lists; keys: from the name of a field to its key in the record."""
    return {key: getattr(holder, field).tolist() for field, key in keys.items()}


def _floats(rows: list[list[float]], columns: int) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, columns)


def _integers(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
