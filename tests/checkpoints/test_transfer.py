from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from detect.checkpoints.transfer import matching_classes, transfer

F = 3  # length of the tail's vector


def state(classes: Sequence[str], start: float, anchors: int = 2, width: int = F) -> dict[str, Tensor]:
    """Return the state dict of a small detector, in which all numbers differ."""
    shapes = {
        "backbone.body.weight": (4, 3),
        "proposer.head.conv.weight": (5, 4),
        "proposer.head.objectness.weight": (anchors, 5),
        "head.tail.weight": (width, 5),
        "head.logits.weight": (len(classes) + 1, width),
        "head.logits.bias": (len(classes) + 1,),
        "head.deltas.weight": (4 * len(classes), width),
        "head.deltas.bias": (4 * len(classes),),
    }
    tensors = {}
    for name, shape in shapes.items():
        count = int(torch.tensor(shape).prod())
        tensors[name] = torch.arange(start, start + count).reshape(shape)
        start += count
    return tensors


CASES = [
    (["a"], [], set(), "output layers re-initialized: the file has none of the classes"),
    (["a", "b"], ["c"], set(), "output layers re-initialized: the file has none of the classes"),
    (["a", "b"], ["a", "b"], {"a", "b"}, None),
    (["a", "b"], ["b", "a"], {"a", "b"}, None),
    (["b"], ["a", "b", "c"], {"b"}, None),
    (
        ["d", "b"],
        ["a", "b", "c"],
        {"b"},
        "output layers loaded for background, b, re-initialized for d: not in the file",
    ),
]


@pytest.mark.parametrize(("classes", "source_classes", "shared", "note"), CASES)
def test_transfer_loads_rows_of_shared_classes_and_all_other_layers(
    classes: list[str], source_classes: list[str], shared: set[str], note: str | None
) -> None:
    initial, source = state(classes, 1000.0), state(source_classes, 0.0)
    transferred = transfer(initial, source, classes, source_classes)
    for name in initial:
        if not name.startswith(("head.logits", "head.deltas")):
            assert torch.equal(transferred.weights[name], source[name])
    for kind in ("weight", "bias"):
        logits, deltas = transferred.weights[f"head.logits.{kind}"], transferred.weights[f"head.deltas.{kind}"]
        origin = source if shared else initial
        assert torch.equal(logits[0], origin[f"head.logits.{kind}"][0])
        for i, name in enumerate(classes):
            origin, j = (source, source_classes.index(name)) if name in shared else (initial, i)
            assert torch.equal(logits[i + 1], origin[f"head.logits.{kind}"][j + 1])
            assert torch.equal(deltas[4 * i : 4 * i + 4], origin[f"head.deltas.{kind}"][4 * j : 4 * j + 4])
    lines = [str(part) for part in transferred.parts]
    assert lines[:2] == ["backbone: loaded", "proposer: loaded"]
    assert lines[2] == ("head: loaded" if note is None else f"head: 1 of 5 tensors loaded; {note}")


NAMES = [
    ([], [], {}),
    (["a"], [], {}),
    (["a"], ["b"], {}),
    (["Dog"], ["cat", "dog"], {"Dog": "dog"}),
    (
        ["potted plant", "TV-Monitor"],
        ["pottedplant", "tvmonitor"],
        {"potted plant": "pottedplant", "TV-Monitor": "tvmonitor"},
    ),
    (["dog"], ["DOG", "dog"], {"dog": "dog"}),
    (["Dog"], ["DOG", "dog"], {"Dog": "DOG"}),
    (["Dog", "dog"], ["dog"], {"Dog": "dog", "dog": "dog"}),
    (["+", "-"], ["-"], {"-": "-"}),
    (["Straße"], ["STRASSE"], {"Straße": "STRASSE"}),
    (["bus"], ["busy"], {}),
]


@pytest.mark.parametrize(("classes", "source_classes", "same"), NAMES)
def test_classes_are_matched_by_letters_and_digits_without_case(
    classes: list[str], source_classes: list[str], same: dict[str, str]
) -> None:
    assert matching_classes(classes, source_classes) == same


def test_transfer_loads_the_rows_of_a_class_that_differs_by_case() -> None:
    initial, source = state(["e", "B"], 1000.0), state(["a", "b"], 0.0)
    transferred = transfer(initial, source, ["e", "B"], ["a", "b"])
    assert torch.equal(transferred.weights["head.logits.weight"][2], source["head.logits.weight"][2])
    assert torch.equal(transferred.weights["head.logits.weight"][1], initial["head.logits.weight"][1])
    assert torch.equal(transferred.weights["head.deltas.bias"][4:], source["head.deltas.bias"][4:])
    assert "loaded for background, B, re-initialized for e" in str(transferred.parts[2])


def masked_state(classes: Sequence[str], start: float, stage: str = "") -> dict[str, Tensor]:
    """Return the state dict of a small detector with a mask head, or with that of one stage."""
    head = f"mask_head.{stage}"
    layers, logits = torch.arange(start, start + 4).reshape(2, 2), torch.arange(start, start + 2 * len(classes))
    masks = {f"{head}upsample.weight": layers, f"{head}logits.weight": logits.reshape(len(classes), 2, 1, 1)}
    return state(classes, start) | masks


@pytest.mark.parametrize("stage", ["", "1."])
def test_transfer_loads_the_masks_of_shared_classes(stage: str) -> None:
    source = masked_state(["a", "b", "c"], 0.0, stage)
    initial = masked_state(["c", "d", "a"], 1000.0, stage)
    weights = transfer(initial, source, ["c", "d", "a"], ["a", "b", "c"]).weights
    assert weights[f"mask_head.{stage}logits.weight"].flatten().tolist() == [4, 5, 1002, 1003, 0, 1]
    assert torch.equal(weights[f"mask_head.{stage}upsample.weight"], source[f"mask_head.{stage}upsample.weight"])
    assert torch.equal(weights["head.logits.bias"][[0, 1, 3]], source["head.logits.bias"][[0, 3, 1]])


def test_transfer_from_a_detector_without_masks_loads_the_other_parts() -> None:
    initial, source = masked_state(["a", "b"], 1000.0), state(["a", "b"], 0.0)
    transferred = transfer(initial, source, ["a", "b"], ["a", "b"])
    assert transferred.loaded == source.keys()
    assert all(torch.equal(transferred.weights[name], initial[name]) for name in initial.keys() - source.keys())
    (report,) = (str(part) for part in transferred.parts if part.part == "mask_head")
    assert report.startswith("mask_head: initialized; initialized, not in the file: mask_head.upsample.weight")
    assert "output layers re-initialized" in report


def cascade_state(classes: Sequence[str], start: float) -> dict[str, Tensor]:
    """Return the state dict of a small cascade, whose classes share the deltas of each of its two stages."""
    plain = state(classes, start)
    shared = {name: tensor[:4] if name.startswith("head.deltas") else tensor for name, tensor in plain.items()}
    stages = [
        {name.replace("head.", f"head.{i}.", 1): tensor + i for name, tensor in shared.items() if name[:5] == "head."}
        for i in (0, 1)
    ]
    return without(shared, "head.") | stages[0] | stages[1]


@pytest.mark.parametrize(
    ("classes", "source_classes", "note"),
    [
        (["a", "b"], ["c", "d"], "head: 2 of 10 tensors loaded; output layers re-initialized: the file has none"),
        (["a", "b"], ["b", "a", "c"], "head: loaded"),
        (["a"], ["b", "a"], "head: loaded"),
    ],
)
def test_transfer_of_a_cascade_has_rows_of_classes_in_every_stage(
    classes: list[str], source_classes: list[str], note: str
) -> None:
    initial, source = cascade_state(classes, 1000.0), cascade_state(source_classes, 0.0)
    transferred = transfer(initial, source, classes, source_classes)
    assert str(transferred.parts[2]).startswith(note)
    for stage in (0, 1):
        logits, deltas = f"head.{stage}.logits.weight", f"head.{stage}.deltas.weight"
        if note != "head: loaded":
            assert torch.equal(transferred.weights[logits], initial[logits])
            assert torch.equal(transferred.weights[deltas], initial[deltas])
            continue
        assert torch.equal(transferred.weights[deltas], source[deltas])
        rows = [0, *(source_classes.index(name) + 1 for name in classes)]
        assert torch.equal(transferred.weights[logits], source[logits][rows])


@pytest.mark.parametrize(("first", "second"), [(cascade_state, state), (state, cascade_state)])
def test_transfer_between_a_cascade_and_a_plain_head_says_that_the_head_is_new(first: Any, second: Any) -> None:
    initial = first(["a", "b"], 1000.0)
    transferred = transfer(initial, second(["a", "b"], 0.0), ["a", "b"], ["a", "b"])
    assert "head: initialized; initialized, not in the file" in str(transferred.parts[2])
    assert all(torch.equal(transferred.weights[name], initial[name]) for name in initial if name.startswith("head."))


def test_transfer_between_shared_deltas_and_those_of_each_class_initializes_the_output_layers() -> None:
    shared, own = state(["a", "b"], 0.0), state(["a", "b"], 1000.0)
    shared |= {name: tensor[:4] for name, tensor in shared.items() if name.startswith("head.deltas")}
    for initial, source in ((shared, own), (own, shared)):
        transferred = transfer(initial, source, ["a", "b"], ["a", "b"])
        assert str(transferred.parts[2]) == f"head: 1 of 5 tensors loaded; {NEW_TAIL}"
        assert all(len(tensor) == len(initial[name]) for name, tensor in transferred.weights.items())


def test_transfer_does_not_change_its_arguments() -> None:
    initial = state(["a", "b"], 1000.0)
    before = {name: tensor.clone() for name, tensor in initial.items()}
    transfer(initial, state(["a"], 0.0), ["a", "b"], ["a"])
    assert all(torch.equal(initial[name], before[name]) for name in initial)


def without(source: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the state dict without the tensors whose names start with ``prefix``."""
    return {name: tensor for name, tensor in source.items() if not name.startswith(prefix)}


NEW_TAIL = "output layers re-initialized: their tail is new or their shape differs"
PARTLY_FITTING = [
    ("nothing", {}, ["backbone: initialized", "proposer: initialized", f"head: initialized|{NEW_TAIL}"]),
    (
        "another proposer",
        state(["a"], 0.0, anchors=3),
        [
            "backbone: loaded",
            "proposer: 1 of 2 tensors loaded; initialized, of another shape: proposer.head.objectness.weight",
            "head: loaded",
        ],
    ),
    (
        "no proposer",
        without(state(["a"], 0.0), "proposer"),
        ["proposer: initialized; initialized, not in the file: "],
    ),
    (
        "another tail",
        state(["a"], 0.0, width=F + 1),
        [f"head: initialized; initialized, of another shape: head.tail.weight; {NEW_TAIL}"],
    ),
    ("no outputs", without(state(["a"], 0.0), "head.logits"), [f"head: 1 of 5 tensors loaded; {NEW_TAIL}"]),
]


@pytest.mark.parametrize(
    ("source", "expected"), [case[1:] for case in PARTLY_FITTING], ids=[case[0] for case in PARTLY_FITTING]
)
def test_transfer_leaves_tensors_that_do_not_fit_initial(source: dict[str, Tensor], expected: list[str]) -> None:
    initial = state(["a"], 1000.0)
    transferred = transfer(initial, source, ["a"], ["a"])
    lines = [str(part) for part in transferred.parts]
    for pieces in expected:
        assert any(all(piece in line for piece in pieces.split("|")) for line in lines), lines
    for name, tensor in initial.items():
        fits = name in source and source[name].shape == tensor.shape
        if not fits:
            assert torch.equal(transferred.weights[name], tensor)
