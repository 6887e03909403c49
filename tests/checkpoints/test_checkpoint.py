from __future__ import annotations

import io
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detect.checkpoints.checkpoint import FORMAT, Checkpoint, find_checkpoint, load_checkpoint, save_checkpoint
from detect.config.files import parse_config
from detect.errors import UserError
from detect.ops.preprocess import Preprocess
from detect.system.checksums import append_checksum


@pytest.fixture(params=[pytest.param(300, id="fast"), pytest.param(10_000, id="slow", marks=pytest.mark.slow)])
def num_flips(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


def checkpoint(training: dict[str, Any] | None = None) -> Checkpoint:
    """Return a checkpoint with a few small weights."""
    return Checkpoint(
        config=parse_config(
            {"seed": 5, "train": {"steps": 7}, "data": {"train": [{"root": "a", "list": "b"}]}}, "test"
        ),
        classes=("cat", "größe"),
        preprocess=Preprocess(300, 500, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), 16),
        weights={"a": torch.randn(40, 50), "b.c": torch.tensor(3), "d": torch.zeros(0)},
        step=11,
        metrics={"mAP": 0.5, "AP50": None},
        training=training,
    )


@pytest.mark.parametrize("training", [None, {"optimizer": {"state": {0: {"m": torch.ones(2)}}, "n": [1, 2.5]}}])
def test_load_checkpoint_returns_the_saved_checkpoint(tmp_path: Path, training: dict[str, Any] | None) -> None:
    saved = checkpoint(training)
    save_checkpoint(saved, tmp_path / "new" / "a.pt")
    loaded = load_checkpoint(tmp_path / "new" / "a.pt")
    for name in ("config", "classes", "preprocess", "step", "metrics"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.weights.keys() == saved.weights.keys()
    assert all(torch.equal(loaded.weights[name], saved.weights[name]) for name in saved.weights)
    assert (loaded.training is None) == (training is None)
    if loaded.training is not None:
        assert torch.equal(loaded.training["optimizer"]["state"][0]["m"], torch.ones(2))
        assert loaded.training["optimizer"]["n"] == [1, 2.5]


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04"])
def test_load_checkpoint_refuses_a_file_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.pt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"a.pt: expected a checkpoint, found an unreadable file \(.+\)"):
        load_checkpoint(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], f"expected a {FORMAT}, found list"),
        ({"w": torch.ones(1)}, f"expected a {FORMAT}, found another file of torch.save"),
        ({"format": ["detect"]}, f"expected a {FORMAT}, found \\['detect'\\]"),
        ({"format": "detect checkpoint 999"}, f"expected a {FORMAT}, found detect checkpoint 999"),
    ],
)
def test_load_checkpoint_refuses_other_files_of_torch_save(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(UserError, match=rf"a.pt: {message}$"):
        load_checkpoint(tmp_path / "a.pt")


def test_load_checkpoint_refuses_other_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(UserError, match=r"a.pt: expected a checkpoint, found an unreadable file"):
        load_checkpoint(tmp_path / "a.pt")


def test_load_checkpoint_refuses_a_truncated_file(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    file = tmp_path / "a.pt"
    save_checkpoint(checkpoint(), file)
    original = file.read_bytes()
    cuts = {0, 1, *range(len(original) - 200, len(original)), *random.Random(0).sample(range(len(original)), 100)}
    for cut in cuts:
        file.write_bytes(original[:cut])
        with pytest.raises(UserError, match=r"a.pt: "):
            load_checkpoint(file)
    assert len(cuts) > 290
    record_property("cuts", len(cuts))


@pytest.mark.parametrize("format_name", [FORMAT, "detect checkpoint 1"])
def test_load_checkpoint_without_checksum_reads_the_older_format_only(format_name: str, tmp_path: Path) -> None:
    """Files of the older format have only the checksums of the archive; one of the newer format has lost its own."""
    file = tmp_path / "a.pt"
    save_checkpoint(checkpoint(), file)
    content = torch.load(file, weights_only=True)
    torch.save(content | {"format": format_name}, file)
    if format_name == FORMAT:
        with pytest.raises(UserError, match=r"a.pt: damaged: expected a checksum at its end, found none"):
            load_checkpoint(file)
        return
    assert list(load_checkpoint(file).classes) == content["classes"]
    original = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        entries = [entry for entry in archive.infolist() if entry.file_size]
    for entry in entries:
        name, extra = struct.unpack_from("<HH", original, entry.header_offset + 26)  # lengths in the local header
        offset = entry.header_offset + 30 + name + extra + entry.file_size // 2
        file.write_bytes(original[:offset] + bytes([original[offset] ^ 1]) + original[offset + 1 :])
        with pytest.raises(UserError, match=rf"a.pt: damaged: {entry.filename}"):
            load_checkpoint(file)


HEAD = 1 << 10  # bytes with the first local header of the archive and the start of the pickle


@pytest.mark.parametrize("where", ["head", "tail", "everywhere"])
def test_load_checkpoint_refuses_a_flipped_bit(
    where: str, tmp_path: Path, num_flips: int, record_property: Callable[[str, object], None]
) -> None:
    file = tmp_path / "a.pt"
    save_checkpoint(checkpoint(), file)
    original, draw = file.read_bytes(), random.Random(where)
    offsets = {
        "head": range(HEAD),
        "tail": range(len(original) - HEAD, len(original)),
        "everywhere": [draw.randrange(len(original)) for _ in range(num_flips)],
    }[where]
    for offset in offsets:
        damaged = bytearray(original)
        damaged[offset] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"a.pt: "):
            load_checkpoint(file)
    assert len(offsets) >= min(num_flips, HEAD)
    record_property("flipped bits", len(offsets))


class Malicious:
    """An object whose pickle makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_load_checkpoint_does_not_run_code(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "a.pt"
    torch.save({"format": FORMAT, "weights": Malicious(victim)}, file)
    with pytest.raises(UserError, match=r"a.pt: expected a checkpoint, found an unreadable file"):
        load_checkpoint(file)
    assert not victim.exists()
    torch.load(file, weights_only=False)
    assert victim.exists()  # the code runs without weights_only


def test_load_checkpoint_names_the_file_and_the_key_of_an_unknown_setting(tmp_path: Path) -> None:
    save_checkpoint(checkpoint(), tmp_path / "a.pt")
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    content["config"]["train"]["lrr"] = 1
    buffer = io.BytesIO()
    torch.save(content, buffer)
    (tmp_path / "a.pt").write_bytes(append_checksum(buffer.getvalue()))
    with pytest.raises(UserError, match=r"a.pt: train.lrr: unknown key"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("names", "expected"), [(["last.pt"], "last.pt"), (["best.pt"], "best.pt"), (["last.pt", "best.pt"], "best.pt")]
)
def test_find_checkpoint_prefers_best_over_last(tmp_path: Path, names: list[str], expected: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert find_checkpoint(tmp_path) == tmp_path / expected
    assert find_checkpoint(tmp_path / names[0]) == tmp_path / names[0]


def test_find_checkpoint_names_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a run folder with best.pt or last.pt, found neither"):
        find_checkpoint(tmp_path)
    with pytest.raises(UserError, match=r"best.pt: expected a run folder or a checkpoint, found nothing"):
        find_checkpoint(tmp_path / "best.pt")
    with pytest.raises(UserError, match=r"a.pt: expected a checkpoint, found nothing"):
        load_checkpoint(tmp_path / "a.pt")
