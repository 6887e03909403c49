"""Tensors from files of several kinds; what is none of theirs is refused before it runs."""

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
from detect.system.tensor_files import in_file

ARRAYS: dict[str, Any] = {
    "none": np.zeros((0, 2), np.float32),
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "counter": np.array(7),
}


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.victim, "run"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_arrays_is_read_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    content = {"model": OrderedDict(ARRAYS), "__author__": "someone", "steps": [1, np.float32(2.5)]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    found = in_file(tmp_path / "a.pkl")
    assert found.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert found[name].numpy().dtype == value.dtype
        np.testing.assert_array_equal(found[name].numpy(), value)


def test_numpy_1_and_python_2_names_are_known(tmp_path: Path) -> None:
    text = pickle.dumps(ARRAYS, 2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in text
    (tmp_path / "a.pkl").write_bytes(text)
    assert torch.equal(in_file(tmp_path / "a.pkl")["half"], torch.arange(6).half().view(2, 3))


@pytest.mark.parametrize("deep", [False, True])
def test_an_evil_pickle_is_refused_by_the_name_of_what_it_calls_and_does_nothing(tmp_path: Path, deep: bool) -> None:
    evil = Evil(tmp_path / "victim")
    content = {"model": {"a": np.array([evil], dtype=object)}} if deep else evil
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=r"a.pkl: expected arrays, .* alone, found builtins.getattr|pathlib") as raised:
        in_file(tmp_path / "a.pkl")
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
def test_another_pickle_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        in_file(tmp_path / "a.pkl")


def test_a_checkpoint_of_detectron2_gives_its_model(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.ones(2)}, "optimizer": {"lr": 0.1}, "iteration": 3}, tmp_path / "a.pth")
    assert in_file(tmp_path / "a.pth").keys() == {"a"}


def safetensors(tensors: dict[str, tuple[str, list[int], bytes]], **metadata: str) -> bytes:
    """A file by its published format."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    numbers = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(numbers), len(numbers) + len(content)]}
        numbers += content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


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
def test_safetensors_are_read_by_their_format(
    tmp_path: Path, dtype: str, shape: list[int], content: bytes, expected: Tensor
) -> None:
    before = ("U8", [3], b"abc")  # so that what follows stands at an odd byte
    (tmp_path / "a.safetensors").write_bytes(safetensors({"x": before, "w": (dtype, shape, content)}, format="pt"))
    found = in_file(tmp_path / "a.safetensors")
    assert found.keys() == {"x", "w"}
    assert found["w"].dtype == expected.dtype
    assert torch.equal(found["w"], expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.safetensors: expected a header of 0 bytes"),
        (b"\xff" * 8, "expected a header of 1844674407370955161. bytes .* found none"),
        (safetensors({})[:-1], "expected a header of 2 bytes"),
        (safetensors({"w": ("F32", [2], b"1234")}), "w: expected 8 bytes, found 0 to 4 of 4"),
        (safetensors({"w": ("F32", [1], b"1234")})[:-1], "w: expected 4 bytes, found 0 to 4 of 3"),
        (safetensors({"w": ("F8", [1], b"1")}), "w: expected a dtype, a shape and data_offsets, found"),
        (safetensors({"w": ("F32", [-1], b"")}), "w: expected a dtype, a shape and data_offsets"),
    ],
)
def test_damaged_safetensors_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=message):
        in_file(tmp_path / "a.safetensors")
