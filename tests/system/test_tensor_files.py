"""Tensors from several kinds of files; any other content is refused before it runs."""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from detect.errors import UserError
from detect.system.tensor_files import load_tensors

ARRAYS: dict[str, Any] = {
    "none": np.zeros((0, 2), np.float32),
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "counter": np.array(7),
}


class MaliciousObject:
    """Writes a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.victim, "run"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_load_tensors_of_a_pickle_of_arrays_reads_every_protocol(tmp_path: Path, protocol: int) -> None:
    content = {"model": OrderedDict(ARRAYS), "__author__": "someone", "steps": [1, np.float32(2.5)]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    tensors = load_tensors(tmp_path / "a.pkl")
    assert tensors.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert tensors[name].numpy().dtype == value.dtype
        np.testing.assert_array_equal(tensors[name].numpy(), value)


def test_load_tensors_of_a_pickle_accepts_numpy_1_names(tmp_path: Path) -> None:
    text = pickle.dumps(ARRAYS, 2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in text
    (tmp_path / "a.pkl").write_bytes(text)
    assert torch.equal(load_tensors(tmp_path / "a.pkl")["half"], torch.arange(6).half().view(2, 3))


@pytest.mark.parametrize("deep", [False, True])
def test_load_tensors_of_a_malicious_pickle_raises_and_runs_nothing(tmp_path: Path, deep: bool) -> None:
    malicious = MaliciousObject(tmp_path / "victim")
    content = {"model": {"a": np.array([malicious], dtype=object)}} if deep else malicious
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(
        UserError, match=r"a.pkl: expected arrays, .* alone, found (builtins.getattr|pathlib)"
    ) as raised:
        load_tensors(tmp_path / "a.pkl")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a pickle of arrays, .*found an unreadable file"),
        (b"PK", "found an unreadable file"),
        (b"cos\nsystem\n(S'touch victim'\ntR.", "found os.system"),
        (b"c_codecs\nencode\n(Vx\nVrot13\ntR.", "found _codecs.encode to rot13"),
        (pickle.dumps({1, 2}), "expected a state dict of tensors, found set"),
        (pickle.dumps({"model": {"a": "b"}}), "expected a state dict of tensors, found str at a"),
        (pickle.dumps({"a": np.array(["b"])}), "expected a state dict of tensors, found ndarray at a"),
    ],
)
def test_load_tensors_of_other_pickles_raises_user_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_tensors(tmp_path / "a.pkl")


def test_load_tensors_of_a_detectron2_checkpoint_returns_its_model(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.ones(2)}, "optimizer": {"lr": 0.1}, "iteration": 3}, tmp_path / "a.pth")
    assert load_tensors(tmp_path / "a.pth").keys() == {"a"}


def safetensors_bytes(tensors: dict[str, tuple[str, list[int], bytes]], **metadata: str) -> bytes:
    """Return the bytes of a file in the published format."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    buffer = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(buffer), len(buffer) + len(content)]}
        buffer += content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + buffer


@pytest.mark.parametrize(
    ("dtype", "shape", "content", "expected"),
    [
        ("F32", [0, 3], b"", torch.zeros(0, 3)),
        ("F32", [2], np.array([1, -2], "<f4").tobytes(), torch.tensor([1.0, -2])),
        ("F64", [1, 2], np.array([1, -2], "<f8").tobytes(), torch.tensor([[1.0, -2]]).double()),
        ("F16", [], np.array(0.5, "<f2").tobytes(), torch.tensor(0.5).half()),
        ("BF16", [1], b"\x80\x3f", torch.ones(1).bfloat16()),
        ("I64", [1], np.array([9], "<i8").tobytes(), torch.tensor([9])),
        ("BOOL", [2], b"\x01\x00", torch.tensor([True, False])),
    ],
)
def test_load_tensors_of_safetensors_reads_each_dtype(
    tmp_path: Path, dtype: str, shape: list[int], content: bytes, expected: Tensor
) -> None:
    before = ("U8", [3], b"abc")  # so that what follows stands at an odd byte
    (tmp_path / "a.safetensors").write_bytes(
        safetensors_bytes({"x": before, "w": (dtype, shape, content)}, format="pt")
    )
    tensors = load_tensors(tmp_path / "a.safetensors")
    assert tensors.keys() == {"x", "w"}
    assert tensors["w"].dtype == expected.dtype
    assert torch.equal(tensors["w"], expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.safetensors: expected a header of 0 bytes"),
        (b"\xff" * 8, "expected a header of 1844674407370955161. bytes .* found none"),
        (safetensors_bytes({})[:-1], "expected a header of 2 bytes"),
        (safetensors_bytes({"w": ("F32", [2], b"1234")}), "w: expected 8 bytes, found 0 to 4 of 4"),
        (safetensors_bytes({"w": ("F32", [1], b"1234")})[:-1], "w: expected 4 bytes, found 0 to 4 of 3"),
        (safetensors_bytes({"w": ("F8", [1], b"1")}), "w: expected a dtype, a shape and data_offsets, found"),
        (safetensors_bytes({"w": ("F32", [-1], b"")}), "w: expected a dtype, a shape and data_offsets"),
    ],
)
def test_load_tensors_of_damaged_safetensors_raises_user_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_tensors(tmp_path / "a.safetensors")
