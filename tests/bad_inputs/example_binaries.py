"""Bad checkpoints, proposal files and settings, some of which try to run code."""

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
from tests.bad_inputs.bad_input import BadInput, write_file


class CreatesFolder:
    """Creates the folder ``ran`` when a pickle of it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def zip_bytes(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def torch_save_bytes(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def npz_bytes(**changes: Any) -> bytes:
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


def proposals_json(value: object) -> Callable[[Path], Path]:
    return write_file("p.json", json.dumps([{"file": "a.jpg", "boxes": value}]))


FORMAT_WITHOUT_CHECKSUM = "detect checkpoint 1"  # without a checksum of the whole
INCOMPLETE_CHECKPOINT = {
    "format": FORMAT_WITHOUT_CHECKSUM,
    "config": {},
    "classes": ["a"],
    "weights": {},
    "step": 1,
    "metrics": {},
}
CHECKPOINTS = {
    "empty": BadInput(write_file("a.pt", b""), "unreadable file"),
    "text": BadInput(write_file("a.pt", "weights, honestly"), "unreadable file"),
    "zip of nonsense": BadInput(write_file("a.pt", zip_bytes(data=b"nonsense")), "unreadable file"),
    "pickle that runs code": BadInput(write_file("a.pt", pickle.dumps(CreatesFolder())), "unreadable file"),
    "torch.save of what runs code": BadInput(
        write_file("a.pt", torch_save_bytes({"format": FORMAT_WITHOUT_CHECKSUM, "config": CreatesFolder()})),
        "unreadable",
    ),
    "zip of a pickle that runs code": BadInput(
        write_file("a.pt", zip_bytes(**{"a/data.pkl": pickle.dumps(CreatesFolder()), "a/version": b"3\n"})),
        "unreadable file",
    ),
    "cut": BadInput(write_file("a.pt", torch_save_bytes(INCOMPLETE_CHECKPOINT)[:-200]), "unreadable file"),
    "a tensor": BadInput(write_file("a.pt", torch_save_bytes(torch.zeros(3))), "found Tensor"),
    "a state dict": BadInput(
        write_file("a.pt", torch_save_bytes({"conv": torch.zeros(3)})), "another file of torch.save"
    ),
    "a lost checksum": BadInput(
        write_file("a.pt", torch_save_bytes(INCOMPLETE_CHECKPOINT | {"format": FORMAT})),
        "expected a checksum at its end",
    ),
    "without its keys": BadInput(
        write_file("a.pt", torch_save_bytes({"format": FORMAT_WITHOUT_CHECKSUM})), 'with "config", found none'
    ),
    "without one key": BadInput(
        write_file("a.pt", torch_save_bytes(INCOMPLETE_CHECKPOINT)), 'with "preprocess", found none'
    ),
    "classes of another type": BadInput(
        write_file("a.pt", torch_save_bytes(INCOMPLETE_CHECKPOINT | {"classes": 3})), 'with "classes"'
    ),
    "another rule": BadInput(
        write_file("a.pt", torch_save_bytes(INCOMPLETE_CHECKPOINT | {"preprocess": {"sides": 3}})),
        "preprocessing of a detector",
    ),
    "settings of another": BadInput(
        write_file("a.pt", torch_save_bytes(INCOMPLETE_CHECKPOINT | {"preprocess": {}, "config": {"modle": 3}})),
        "modle: unknown key",
    ),
}
PROPOSALS = {
    "text": BadInput(write_file("p.npz", "boxes"), "does not contain them"),
    "pickled objects": BadInput(
        write_file("p.npz", npz_bytes(boxes=np.array([CreatesFolder(), CreatesFolder()], object))),
        "does not contain them",
    ),
    "a pickle called .npz": BadInput(write_file("p.npz", pickle.dumps(CreatesFolder())), "does not contain them"),
    "a pickle": BadInput(write_file("p.pkl", pickle.dumps(CreatesFolder())), "found a pickle"),
    "cut": BadInput(write_file("p.npz", npz_bytes()[:-99]), "does not contain them"),
    "boxes of 3 numbers": BadInput(
        write_file("p.npz", npz_bytes(boxes=np.ones((2, 3), np.float32))), "other numbers of boxes"
    ),
    "boxes that are NaN": BadInput(
        write_file("p.npz", npz_bytes(boxes=np.full((2, 4), np.nan, np.float32))), "not finite"
    ),
    "boxes of texts": BadInput(write_file("p.npz", npz_bytes(boxes=np.full((2, 4), "1"))), "of the dtype kinds"),
    "offsets that fall": BadInput(write_file("p.npz", npz_bytes(offsets=np.array([2, 0]))), "do not increase from 0"),
    "no offsets": BadInput(write_file("p.npz", npz_bytes(offsets=np.zeros(0, np.int64))), "offsets"),
    "more scores than boxes": BadInput(
        write_file("p.npz", npz_bytes(scores=np.ones(3, np.float32))), "other numbers of boxes"
    ),
    "JSON, 4 boxes of 3 numbers": BadInput(proposals_json([[1, 2, 3]] * 4), r"boxes of shape \(4, 3\)"),
    "JSON, uneven boxes": BadInput(proposals_json([[1, 2, 3, 4], [1]]), "does not contain them"),
    "JSON, infinite": BadInput(write_file("p.json", '[{"file": "a", "boxes": [[0, 0, 9, 1e999]]}]'), "not finite"),
    "JSON, an object": BadInput(write_file("p.json", "{}x"), "damaged JSON"),
    "JSON, deep": BadInput(write_file("p.json", "[" * 99_999), "damaged JSON"),
}

ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
SETTINGS = {
    "python object": BadInput(write_file("c.yaml", "seed: !!python/object/apply:os.mkdir [ran]"), "constructor"),
    "alias bomb": BadInput(write_file("c.yaml", ALIAS_BOMB), "aliases that stand for more than"),
    "alias of itself": BadInput(write_file("c.yaml", "a: &a [*a]"), "aliases that stand for more than"),
    "deep": BadInput(write_file("c.yaml", "a: " + "[" * 5000), "nested too deep|expected YAML"),
    "a key twice": BadInput(write_file("c.yaml", "seed: 1\nseed: 2"), 'the key "seed" twice'),
    "tag that does not fit": BadInput(write_file("c.yaml", "seed: !!bool maybe"), "expected YAML"),
    "time that does not fit": BadInput(write_file("c.yaml", "seed: !!timestamp soon"), "expected YAML"),
    "control letters": BadInput(write_file("c.yaml", "seed: \0"), "expected YAML"),
    "Latin-1": BadInput(write_file("c.yaml", "seed: 1 # é".encode("latin-1")), "text in UTF-8"),
    "wrong types": BadInput(write_file("c.yaml", "train: [1, 2]"), "train: expected keys and values"),
    "numbers as keys": BadInput(write_file("c.yaml", "1: 2"), "1"),
    "a list": BadInput(write_file("c.yaml", "- 1"), "expected keys and values, found list"),
}
