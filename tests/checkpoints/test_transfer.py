from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from detect.checkpoints.transfer import transfer

F = 3  # length of the tail's vector


def state(classes: Sequence[str], start: float, anchors: int = 2, width: int = F) -> dict[str, Tensor]:
    """A detector's tensors by name, each number another."""
    shapes = {
        "backbone.body.weight": (4, 3),
        "proposer.head.hidden.weight": (5, 4),
        "proposer.head.objectness.weight": (anchors, 5),
        "head.tail.weight": (width, 5),
        "head.logits.weight": (len(classes) + 1, width),
        "head.logits.bias": (len(classes) + 1,),
        "head.deltas.weight": (4 * len(classes), width),
        "head.deltas.bias": (4 * len(classes),),
    }
    made = {}
    for name, shape in shapes.items():
        count = int(torch.tensor(shape).prod())
        made[name] = torch.arange(start, start + count).reshape(shape)
        start += count
    return made


CASES = [
    (["a"], [], set(), "outputs made anew: the file knows none of the classes"),
    (["a", "b"], ["c"], set(), "outputs made anew: the file knows none of the classes"),
    (["a", "b"], ["a", "b"], {"a", "b"}, None),
    (["a", "b"], ["b", "a"], {"a", "b"}, None),
    (["b"], ["a", "b", "c"], {"b"}, None),
    (["d", "b"], ["a", "b", "c"], {"b"}, "outputs kept for background, b, made anew for d: not in the file"),
]


@pytest.mark.parametrize(("classes", "given_classes", "kept", "note"), CASES)
def test_a_shared_class_keeps_its_rows_and_the_rest_is_kept_whole(
    classes: list[str], given_classes: list[str], kept: set[str], note: str | None
) -> None:
    own, given = state(classes, 1000.0), state(given_classes, 0.0)
    moved = transfer(own, given, classes, given_classes)
    for name in own:
        if not name.startswith(("head.logits", "head.deltas")):
            assert torch.equal(moved.weights[name], given[name])
    for kind in ("weight", "bias"):
        logits, deltas = moved.weights[f"head.logits.{kind}"], moved.weights[f"head.deltas.{kind}"]
        source = given if kept else own
        assert torch.equal(logits[0], source[f"head.logits.{kind}"][0])
        for at, name in enumerate(classes):
            source, there = (given, given_classes.index(name)) if name in kept else (own, at)
            assert torch.equal(logits[at + 1], source[f"head.logits.{kind}"][there + 1])
            assert torch.equal(deltas[4 * at : 4 * at + 4], source[f"head.deltas.{kind}"][4 * there : 4 * there + 4])
    lines = [str(part) for part in moved.parts]
    assert lines[:2] == ["backbone: kept", "proposer: kept"]
    assert lines[2] == ("head: kept" if note is None else f"head: 1 of 5 tensors kept; {note}")


def test_the_new_detector_is_not_written_into() -> None:
    own = state(["a", "b"], 1000.0)
    before = {name: value.clone() for name, value in own.items()}
    transfer(own, state(["a"], 0.0), ["a", "b"], ["a"])
    assert all(torch.equal(own[name], before[name]) for name in own)


def without(given: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name: value for name, value in given.items() if not name.startswith(prefix)}


NEW_TAIL = "outputs made anew: their tail is new or their shape another"
UNFIT = [
    ("nothing", {}, ["backbone: made anew", "proposer: made anew", f"head: made anew|{NEW_TAIL}"]),
    (
        "another proposer",
        state(["a"], 0.0, anchors=3),
        [
            "backbone: kept",
            "proposer: 1 of 2 tensors kept; made anew, of another shape: proposer.head.objectness.weight",
            "head: kept",
        ],
    ),
    ("no proposer", without(state(["a"], 0.0), "proposer"), ["proposer: made anew; made anew, not in the file: "]),
    (
        "another tail",
        state(["a"], 0.0, width=F + 1),
        [f"head: made anew; made anew, of another shape: head.tail.weight; {NEW_TAIL}"],
    ),
    ("no outputs", without(state(["a"], 0.0), "head.logits"), [f"head: 1 of 5 tensors kept; {NEW_TAIL}"]),
]


@pytest.mark.parametrize(("given", "lines"), [case[1:] for case in UNFIT], ids=[case[0] for case in UNFIT])
def test_what_does_not_fit_stays_as_it_was_made(given: dict[str, Tensor], lines: list[str]) -> None:
    own = state(["a"], 1000.0)
    moved = transfer(own, given, ["a"], ["a"])
    said = [str(part) for part in moved.parts]
    for line in lines:
        assert any(all(piece in shown for piece in line.split("|")) for shown in said), said
    for name, value in own.items():
        fits = name in given and given[name].shape == value.shape
        if not fits:
            assert torch.equal(moved.weights[name], value)
