"""Checkpoints and proposal files that are none, or want to run code, and settings."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detect.checkpoints.checkpoint import FORMAT
from tests.bad_inputs.nasty import Nasty, content


class Runs:
    """A pickle of it makes the folder ``ran`` when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def saved(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def npz(**changes: Any) -> bytes:
    """One image with two proposals; changes: of its arrays."""
    header = json.dumps({"version": 1, "settings": {}, "files": ["a.jpg"]}).encode()
    arrays: dict[str, Any] = {
        "header": np.frombuffer(header, np.uint8),
        "contents": np.zeros(1, np.uint64),
        "offsets": np.array([0, 2]),
        "boxes": np.ones((2, 4), np.float32),
        "scores": np.ones(2, np.float32),
    }
    stream = io.BytesIO()
    np.savez(stream, **(arrays | changes))
    return stream.getvalue()


def boxes(value: object) -> Callable[[Path], Path]:
    return content("p.json", json.dumps([{"file": "a.jpg", "boxes": value}]))


KNOWN = "detect checkpoint 1"  # without a checksum of the whole
OF_OTHERS = {"format": KNOWN, "config": {}, "classes": ["a"], "weights": {}, "step": 1, "metrics": {}}
CHECKPOINTS = {
    "empty": Nasty(content("a.pt", b""), "unreadable file"),
    "text": Nasty(content("a.pt", "weights, honestly"), "unreadable file"),
    "zip of nonsense": Nasty(content("a.pt", zipped(data=b"nonsense")), "unreadable file"),
    "pickle that runs code": Nasty(content("a.pt", pickle.dumps(Runs())), "unreadable file"),
    "torch.save of what runs code": Nasty(content("a.pt", saved({"format": KNOWN, "config": Runs()})), "unreadable"),
    "zip of a pickle that runs code": Nasty(
        content("a.pt", zipped(**{"a/data.pkl": pickle.dumps(Runs()), "a/version": b"3\n"})), "unreadable file"
    ),
    "cut": Nasty(content("a.pt", saved(OF_OTHERS)[:-200]), "unreadable file"),
    "a tensor": Nasty(content("a.pt", saved(torch.zeros(3))), "found Tensor"),
    "a state dict": Nasty(content("a.pt", saved({"conv": torch.zeros(3)})), "another file of torch.save"),
    "a lost checksum": Nasty(content("a.pt", saved(OF_OTHERS | {"format": FORMAT})), "expected a checksum at its end"),
    "without its keys": Nasty(content("a.pt", saved({"format": KNOWN})), 'with "config", found none'),
    "without one key": Nasty(content("a.pt", saved(OF_OTHERS)), 'with "preprocess", found none'),
    "classes of another type": Nasty(content("a.pt", saved(OF_OTHERS | {"classes": 3})), 'with "classes"'),
    "another rule": Nasty(content("a.pt", saved(OF_OTHERS | {"preprocess": {"sides": 3}})), "rule for a detector's"),
    "settings of another": Nasty(
        content("a.pt", saved(OF_OTHERS | {"preprocess": {}, "config": {"modle": 3}})), "modle: unknown key"
    ),
}
PROPOSALS = {
    "text": Nasty(content("p.npz", "boxes"), "does not contain them"),
    "pickled objects": Nasty(content("p.npz", npz(boxes=np.array([Runs(), Runs()], object))), "does not contain them"),
    "a pickle called .npz": Nasty(content("p.npz", pickle.dumps(Runs())), "does not contain them"),
    "a pickle": Nasty(content("p.pkl", pickle.dumps(Runs())), "found a pickle"),
    "cut": Nasty(content("p.npz", npz()[:-99]), "does not contain them"),
    "boxes of 3 numbers": Nasty(content("p.npz", npz(boxes=np.ones((2, 3), np.float32))), "other numbers of boxes"),
    "boxes that are NaN": Nasty(content("p.npz", npz(boxes=np.full((2, 4), np.nan, np.float32))), "not finite"),
    "boxes of texts": Nasty(content("p.npz", npz(boxes=np.full((2, 4), "1"))), "of the kinds"),
    "offsets that fall": Nasty(content("p.npz", npz(offsets=np.array([2, 0]))), "rise from 0"),
    "no offsets": Nasty(content("p.npz", npz(offsets=np.zeros(0, np.int64))), "offsets"),
    "more scores than boxes": Nasty(content("p.npz", npz(scores=np.ones(3, np.float32))), "other numbers of boxes"),
    "JSON, 4 boxes of 3 numbers": Nasty(boxes([[1, 2, 3]] * 4), r"boxes of the shape \(4, 3\)"),
    "JSON, uneven boxes": Nasty(boxes([[1, 2, 3, 4], [1]]), "does not contain them"),
    "JSON, infinite": Nasty(content("p.json", '[{"file": "a", "boxes": [[0, 0, 9, 1e999]]}]'), "not finite"),
    "JSON, an object": Nasty(content("p.json", "{}x"), "damaged JSON"),
    "JSON, deep": Nasty(content("p.json", "[" * 99_999), "damaged JSON"),
}

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
SETTINGS = {
    "python object": Nasty(content("c.yaml", "seed: !!python/object/apply:os.mkdir [ran]"), "constructor"),
    "alias bomb": Nasty(content("c.yaml", BOMB), "aliases that stand for more than"),
    "alias of itself": Nasty(content("c.yaml", "a: &a [*a]"), "aliases that stand for more than"),
    "deep": Nasty(content("c.yaml", "a: " + "[" * 5000), "nested too deep|expected YAML"),
    "a key twice": Nasty(content("c.yaml", "seed: 1\nseed: 2"), 'the key "seed" twice'),
    "tag that does not fit": Nasty(content("c.yaml", "seed: !!bool maybe"), "expected YAML"),
    "time that does not fit": Nasty(content("c.yaml", "seed: !!timestamp soon"), "expected YAML"),
    "control letters": Nasty(content("c.yaml", "seed: \0"), "expected YAML"),
    "UTF-16": Nasty(content("c.yaml", "seed: 1".encode("utf-16")), "text in UTF-8"),
    "wrong types": Nasty(content("c.yaml", "train: [1, 2]"), "train: expected keys and values"),
    "numbers as keys": Nasty(content("c.yaml", "1: 2"), "1"),
    "a list": Nasty(content("c.yaml", "- 1"), "expected keys and values, found list"),
}
