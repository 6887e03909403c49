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
from detect.models.proposers.proposer import Selection
from detect.types import Detections, Proposals

VERSION = 1
SCORINGS = {"softmax": softmax, "logistic": logistic}
Record = dict[str, Any]


def record(traced: Trace, detector: Detector) -> Record:
    """What ``replay`` needs: the rules, the RPN's candidates or the given proposals, the head's whole output.

    Boxes are in pixels of the picture of ``size`` (h, w) that entered the network.
    """
    rule, selection = detector.postprocess, detector.selection
    scoring = next(name for name, function in SCORINGS.items() if function is rule.scoring)
    return {
        "version": VERSION,
        "size": list(traced.size),
        "classes": list(rule.classes),
        "proposal_rule": vars(selection),
        "detection_rule": {name: value for name, value in vars(rule).items() if name not in ("scoring", "classes")}
        | {"scoring": scoring},
        "candidates": None if traced.candidates is None else _candidates(traced.candidates),
        "proposals": _listed(traced.proposals, ("boxes", "scores", "source")),
        "regressors": traced.deltas.shape[1],
        "head": {"logits": traced.logits.tolist(), "deltas": traced.deltas.flatten(1).tolist()},
    }


def replay(recorded: Record) -> Detections:
    """The detections of a record, by the functions that made them first; ValueError for another version's."""
    if recorded["version"] != VERSION:
        raise ValueError(f"version: expected {VERSION}, found {recorded['version']}")
    rule = dict(recorded["detection_rule"])
    rule |= {"stds": tuple(rule["stds"]), "classes": tuple(recorded["classes"]), "scoring": SCORINGS[rule["scoring"]]}
    postprocess = Postprocess(**rule)
    height, width = recorded["size"]
    logits = _floats(recorded["head"]["logits"], len(recorded["classes"]) + 1)
    deltas = _floats(recorded["head"]["deltas"], 4 * recorded["regressors"]).reshape(
        len(logits), recorded["regressors"], 4
    )
    return postprocess(replay_proposals(recorded), logits, deltas, (height, width))


def replay_proposals(recorded: Record) -> Proposals:
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
    return candidates.proposals(Selection(**recorded["proposal_rule"]))


def _candidates(candidates: Candidates) -> Record:
    listed = _listed(candidates, ("source", "anchors", "logits", "deltas", "maps"))
    return listed | {"levels": candidates.levels, "growth": candidates.growth}


def _listed(holder: object, names: tuple[str, ...]) -> Record:
    return {name: getattr(holder, name).tolist() for name in names}


def _floats(rows: list[list[float]], columns: int) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, columns)


def _integers(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
