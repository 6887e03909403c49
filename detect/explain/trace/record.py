"""A trace as plain numbers for JSON, and the detections computed again from these numbers alone.

A float32 written by Python's shortest repr and read back is the same float32. All candidates are kept in their order,
those that came to nothing too: torch's vectorised sigmoid rounds by a number's place in the tensor, so that only whole
tensors give the same bits again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from detect.explain.trace.trace import Trace
from detect.models.detector import Detector
from detect.models.postprocess import Postprocess, logistic, softmax
from detect.models.proposers.candidates import Candidates
from detect.models.proposers.proposer import ProposalSelection
from detect.types import Detections, Proposals

VERSION = 1
SCORINGS = {"softmax": softmax, "logistic": logistic}
TraceRecord = dict[str, Any]

# field of ProposalSelection, and of Postprocess -> its key in a record, which older programs wrote too
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
}


def to_record(traced: Trace, detector: Detector) -> TraceRecord:
    """What ``replay`` needs: the rules, the RPN's candidates or the given proposals, the head's whole output.

    Boxes are in pixels of the picture of ``size`` (h, w) that entered the network.
    """
    rule, selection = detector.postprocess, detector.test_selection
    scoring = next(name for name, function in SCORINGS.items() if function is rule.score_fn)
    return {
        "version": VERSION,
        "size": list(traced.size),
        "classes": list(rule.classes),
        "proposal_rule": {key: getattr(selection, field) for field, key in SELECTION_KEYS.items()},
        "detection_rule": {key: getattr(rule, field) for field, key in POSTPROCESS_KEYS.items()}
        | {"scoring": scoring},
        "candidates": None if traced.candidates is None else _candidates(traced.candidates),
        "proposals": _tensors_as_lists(traced.proposals, {"boxes": "boxes", "scores": "scores", "source_index": "source"}),
        "regressors": traced.deltas.shape[1],
        "head": {"logits": traced.logits.tolist(), "deltas": traced.deltas.flatten(1).tolist()},
    }


def recompute(recorded: TraceRecord) -> Detections:
    """The detections of a record, by the functions that made them first; ValueError for another version's."""
    if recorded["version"] != VERSION:
        raise ValueError(f"version: expected {VERSION}, found {recorded['version']}")
    saved = recorded["detection_rule"]
    fields = {field: saved[key] for field, key in POSTPROCESS_KEYS.items()}
    fields["delta_stds"] = tuple(fields["delta_stds"])
    postprocess = Postprocess(**fields, classes=tuple(recorded["classes"]), score_fn=SCORINGS[saved["scoring"]])
    height, width = recorded["size"]
    logits = _floats(recorded["head"]["logits"], len(recorded["classes"]) + 1)
    deltas = _floats(recorded["head"]["deltas"], 4 * recorded["regressors"]).reshape(
        len(logits), recorded["regressors"], 4
    )
    return postprocess(recompute_proposals(recorded), logits, deltas, (height, width))


def recompute_proposals(recorded: TraceRecord) -> Proposals:
    """The proposals of a record: an RPN's from its anchors; given ones as they are."""
    if recorded["candidates"] is None:
        given = recorded["proposals"]
        return Proposals(
            _floats(given["boxes"], 4), torch.tensor(given["scores"], dtype=torch.float32), _integers(given["source"])
        )
    kept = recorded["candidates"]
    height, width = recorded["size"]
    candidates = Candidates(
        _integers(kept["source"]),
        _floats(kept["anchors"], 4),
        torch.tensor(kept["logits"], dtype=torch.float32),
        _floats(kept["deltas"], 4),
        _integers(kept["maps"]),
        kept["levels"],
        (height, width),
        kept["growth"],
    )
    saved = recorded["proposal_rule"]
    return candidates.proposals(ProposalSelection(**{field: saved[key] for field, key in SELECTION_KEYS.items()}))


def _candidates(candidates: Candidates) -> TraceRecord:
    keys = {"anchor_index": "source", "anchors": "anchors", "logits": "logits", "deltas": "deltas", "level": "maps"}
    listed = _tensors_as_lists(candidates, keys)
    return listed | {"levels": candidates.num_levels, "growth": candidates.max_scale}


def _tensors_as_lists(holder: object, keys: dict[str, str]) -> TraceRecord:
    """Return the tensors of ``holder`` as lists; keys: name of the field -> its key in the record."""
    return {key: getattr(holder, field).tolist() for field, key in keys.items()}


def _floats(rows: list[list[float]], columns: int) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, columns)


def _integers(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
