"""Packaged detectors: what goes in comes out, in half precision, and no damage or foreign file passes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.model_card import Measurement, ModelCard, read_card_file
from detect.checkpoints.packaged import FORMAT, load_packaged, portable_config, read_card, save_packaged
from detect.config import Config, to_dict
from detect.config.files import parse_config
from detect.errors import UserError
from detect.ops.preprocess import Preprocess
from detect.system.tensor_files import encode_safetensors, read_safetensors, read_safetensors_metadata

CARD = ModelCard(
    license="MIT",
    data="größe",
    measured=Measurement(dataset="VOC2007 val", images=3, metric="voc07", score=0.5, interval=(0.4, 0.6)),
)


def checkpoint(**weights: Tensor) -> Checkpoint:
    """Return a checkpoint with the state of a training, and with paths of a machine in its settings."""
    torch.manual_seed(0)
    settings = {
        "model": {"init": "/home/me/run", "backbone": {"weights": "/home/me/net.pth"}},
        "data": {"root": "/home/me/VOC2007", "format": "voc"},
        "train": {"steps": 7},
    }
    return Checkpoint(
        config=parse_config(settings, "test"),
        classes=("cat", "größe"),
        preprocess=Preprocess(300, 500, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), 16, "pil", "bgr"),
        weights=weights or {"a.weight": torch.randn(40, 50), "a.bias": torch.randn(40), "n": torch.tensor(3)},
        step=11,
        metrics={"mAP": 0.5, "AP50": None},
        training={"optimizer": {"m": torch.ones(1000)}},
    )


def test_load_packaged_returns_all_that_detection_needs(tmp_path: Path) -> None:
    saved, file = checkpoint(), tmp_path / "new" / "a.safetensors"
    written = save_packaged(saved, CARD, file)
    loaded = load_packaged(file)
    for name in ("classes", "preprocess", "step", "metrics"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.config == portable_config(saved.config)
    assert loaded.training is None
    assert loaded.weights.keys() == saved.weights.keys()
    for name, tensor in saved.weights.items():
        assert loaded.weights[name].dtype == tensor.dtype
        assert torch.equal(loaded.weights[name], tensor.half().float() if tensor.dim() == 2 else tensor)
    assert (written.num_half, written.num_full, written.size) == (1, 2, file.stat().st_size)
    assert read_card(file) == CARD


def test_save_packaged_writes_the_same_bytes_again_and_from_its_own_file(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for file in files[:2]:
        save_packaged(checkpoint(), CARD, file)
    save_packaged(load_packaged(files[0]), read_card(files[0]), files[2])
    first, *others = (file.read_bytes() for file in files)
    assert others == [first, first]


KERNELS = [
    ("empty", torch.zeros(0, 3), torch.float32),
    ("zeros", torch.zeros(2, 3), torch.float16),
    ("ordinary", torch.tensor([[1.0, 1e-3]]), torch.float16),
    ("too large for half precision", torch.tensor([[1e5, 1.0]]), torch.float32),
    ("too small for half precision", torch.tensor([[1e-7, 3e-8]]), torch.float32),
    ("double precision", torch.tensor([[0.1]], dtype=torch.float64), torch.float16),
    ("not finite", torch.tensor([[float("nan")]]), torch.float32),
    ("a vector", torch.tensor([0.1]), torch.float32),
    ("whole numbers", torch.tensor([[70000]]), torch.int64),
]


@pytest.mark.parametrize(("kernel", "dtype"), [pytest.param(*case[1:], id=case[0]) for case in KERNELS])
def test_save_packaged_stores_in_half_precision_what_it_can_hold(
    kernel: Tensor, dtype: torch.dtype, tmp_path: Path
) -> None:
    file = tmp_path / "a.safetensors"
    save_packaged(checkpoint(w=kernel), CARD, file)
    assert read_safetensors(file)["w"].dtype == dtype
    loaded = load_packaged(file).weights["w"]
    assert loaded.shape == kernel.shape
    assert torch.allclose(loaded.double(), kernel.double(), rtol=2**-10, atol=0, equal_nan=True)


PATHS: list[tuple[dict[str, Any], str, object]] = [
    ({}, "root", "data/shapes"),
    ({"root": "/home/me/VOC2007"}, "root", "VOC2007"),
    ({"root": "C:\\me\\VOC2007"}, "root", "VOC2007"),
    ({"root": "../shared/VOC2007"}, "root", "VOC2007"),
    ({"train": "/home/me/train.json"}, "train", "train.json"),
    ({"train": [{"root": "/home/me/VOC2007", "list": "train"}]}, "train", [{"root": "VOC2007", "list": "train"}]),
    ({"classes": ["/c", "d"]}, "classes", ["/c", "d"]),
    ({"val": 0.2}, "val", 0.2),
]


@pytest.mark.parametrize(("data", "key", "expected"), PATHS)
def test_portable_config_has_no_path_of_the_machine(data: dict[str, Any], key: str, expected: object) -> None:
    config = portable_config(parse_config({"data": data, "train": {"steps": 7}}, "test"))
    setting = to_dict(config)["data"][key]
    if isinstance(expected, list) and isinstance(expected[0], dict):
        setting = [{name: part for name, part in source.items() if part is not None} for source in setting]
    assert setting == expected


def test_portable_config_names_no_initial_weights_and_keeps_all_else() -> None:
    saved = checkpoint().config
    portable = portable_config(saved)
    assert portable.model.init is None
    assert portable.model.backbone.weights is None
    backbone = portable.model.backbone.model_copy(update={"weights": saved.model.backbone.weights})
    model = portable.model.model_copy(update={"init": saved.model.init, "backbone": backbone})
    data = portable.data.model_copy(update={"root": saved.data.root})
    assert portable.model_copy(update={"model": model, "data": data}) == saved


def test_save_packaged_leaves_no_path_in_the_file(tmp_path: Path) -> None:
    save_packaged(checkpoint(), CARD, tmp_path / "a.safetensors")
    assert b"/home/me" not in (tmp_path / "a.safetensors").read_bytes()


def test_save_packaged_refuses_a_name_by_which_it_would_not_be_recognized(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.pt: expected a name that ends in \.safetensors"):
        save_packaged(checkpoint(), CARD, tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


def test_load_packaged_refuses_a_truncated_file(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    file = tmp_path / "a.safetensors"
    save_packaged(checkpoint(), CARD, file)
    original = file.read_bytes()
    cuts = {0, 1, 7, 8, 9, len(original) - 1, *random.Random(0).sample(range(len(original)), 100)}
    for cut in cuts:
        file.write_bytes(original[:cut])
        with pytest.raises(UserError, match=r"a\.safetensors: [^\n]+$"):
            load_packaged(file)
    assert len(cuts) > 100
    record_property("cuts", len(cuts))


def _same_json(first: bytes | bytearray, second: bytes) -> bool:
    """Whether both are the same JSON written differently; the tensors may still differ."""
    try:
        return first != second and bool(json.loads(first) == json.loads(second))
    except ValueError:
        return False


@pytest.mark.parametrize("where", [pytest.param("header", marks=pytest.mark.slow), "everywhere"])
def test_load_packaged_refuses_a_flipped_bit(
    where: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    file = tmp_path / "a.safetensors"
    save_packaged(checkpoint(), CARD, file)
    original, draw = file.read_bytes(), random.Random(where)
    header = range(8 + int.from_bytes(original[:8], "little"))
    offsets = header if where == "header" else [draw.randrange(len(original)) for _ in range(500)]
    for offset in offsets:
        damaged = bytearray(original)
        damaged[offset] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        if _same_json(damaged[8 : header.stop], original[8 : header.stop]):  # of a space it made another
            continue
        with pytest.raises(UserError, match=r"a\.safetensors: [^\n]+$"):
            load_packaged(file)
    assert len(offsets) >= 500
    record_property("flipped bits", len(offsets))


def write_foreign(file: Path, **texts: str) -> None:
    file.write_bytes(encode_safetensors({"w": torch.ones(2)}, texts))


FOREIGN: list[tuple[dict[str, str], str]] = [
    ({}, f"expected a {FORMAT}, as detect model export writes it, found other tensors"),
    ({"format": "pt"}, f"expected a {FORMAT}, as detect model export writes it, found pt"),
    ({"format": "detect detector 99"}, f"expected a {FORMAT}, as .*, found detect detector 99"),
    ({"format": FORMAT}, 'damaged: expected "version" in its header, found none'),
]


@pytest.mark.parametrize(("texts", "message"), FOREIGN)
def test_load_packaged_refuses_other_safetensors(texts: dict[str, str], message: str, tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.safetensors", **texts)
    for read in (load_packaged, read_card):
        with pytest.raises(UserError, match=rf"a\.safetensors: {message}"):
            read(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("name", "text"), [("preprocess", "{}}"), ("preprocess", '{"a": 1}'), ("classes", "7"), ("config", "a: [")]
)
def test_load_packaged_with_texts_of_another_program_is_one_line(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with a right checksum whose texts no version of ours wrote."""
    file = tmp_path / "a.safetensors"
    save_packaged(checkpoint(), CARD, file)
    texts = read_safetensors_metadata(file) | {name: text}
    file.write_bytes(encode_safetensors(read_safetensors(file), texts))
    with pytest.raises(UserError, match=r"a\.safetensors: damaged: its content does not match its checksum"):
        load_packaged(file)
    monkeypatch.setattr("detect.checkpoints.packaged._checksum", lambda *_: texts["sha256"])
    with pytest.raises(UserError, match=r"a\.safetensors: expected the settings of a detector, found [^\n]+$"):
        load_packaged(file)


CARDS = [
    ("{}", None),
    ("license: MIT", None),
    ("licence: MIT", 'licence: unknown key (did you mean "license"?)'),
    ("measured: {dataset: x, images: 3, metric: voc07}", "measured.score: Field required"),
    ("measured: {dataset: x, images: 3, metric: voc7, score: 0.5}", "measured.metric: expected"),
    ("measured: {dataset: x, images: 3, metric: voc07, score: 66}", "measured.score: expected"),
    ("measured: {dataset: x, images: 3, metric: voc07, score: 0.6, interval: [0.7, 0.5]}", "expected the lower bound"),
    ("measured: {dataset: x, images: 3, metric: voc07, score: 0.6, second: 1}", "measured.second: unknown key"),
    ("[1]", "expected"),
]


@pytest.mark.parametrize(("text", "message"), CARDS)
def test_read_card_file_names_the_key_of_a_mistake(text: str, message: str | None, tmp_path: Path) -> None:
    file = tmp_path / "card.yaml"
    file.write_text(text, encoding="utf-8")
    if message is None:
        assert isinstance(read_card_file(file), ModelCard)
        return
    with pytest.raises(UserError) as caught:
        read_card_file(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_packaged_file_is_read_by_the_safetensors_package(tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors", reason="the package safetensors is not installed")
    file = tmp_path / "a.safetensors"
    saved = replace(checkpoint(), config=Config())
    save_packaged(saved, CARD, file)
    with theirs.safe_open(file, "pt") as content:
        assert set(content.keys()) == saved.weights.keys()
        assert content.metadata() == read_safetensors_metadata(file)
        for name, tensor in read_safetensors(file).items():
            assert torch.equal(content.get_tensor(name), tensor)
