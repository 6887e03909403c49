from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml

import detect
from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from detect.checkpoints.compress import compress
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import load_config, parse_config, with_overrides
from detect.errors import UserError
from detect.models.heads.low_rank import LowRankLinear
from detect.models.heads.softmax import SoftmaxHead
from tests.conftest import TINY, Command


@pytest.fixture(scope="module")
def run(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY))
    overrides = [f"data.root={shapes_root}", "train.steps=1", "model.head.fc_dim=80"]
    return detect.train(load_config(file, overrides), folder / "run").folder


@pytest.mark.parametrize(
    ("ranks", "expected_ranks", "cost_after"),
    [
        (None, (64, 64), 64 * (144 + 80) + 64 * 160),
        ((16,), (16,), 16 * (144 + 80)),
        ((5, 3), (5, 3), 5 * 224 + 3 * 160),
    ],
)
def test_compress_returns_ranks_and_costs(
    run: Path, ranks: tuple[int, ...] | None, expected_ranks: tuple[int, ...], cost_after: int
) -> None:
    compressed = compress(run, ranks)
    assert (compressed.ranks, compressed.cost_after) == (expected_ranks, cost_after)
    assert compressed.cost_before == (144 * 80 if len(expected_ranks) == 1 else 144 * 80 + 80 * 80)
    assert compressed.checkpoint.config.model.head.svd_ranks == expected_ranks
    assert compressed.checkpoint.metrics == {}


def test_compress_reduces_the_layers_of_every_stage_of_a_cascade(shapes_root: Path, tmp_path: Path) -> None:
    config = parse_config(TINY, "test")
    config = with_overrides(config, ["model.cascade.ious=[0.5,0.6]", f"data.root={shapes_root}"])
    detector, _ = build_detector(config, ("a",))
    checkpoint = Checkpoint(config, ("a",), build_preprocess(config), detector.state_dict(), step=1, metrics={})
    save_checkpoint(checkpoint, tmp_path / "cascade.pt")
    compressed = compress(tmp_path / "cascade.pt", (5,))
    assert (compressed.cost_before, compressed.cost_after) == (2 * 144 * 16, 2 * 5 * (144 + 16))
    save_checkpoint(compressed.checkpoint, tmp_path / "compressed.pt")
    loaded = detect.load(tmp_path / "compressed.pt").base_detector
    for stage in loaded.head.stages:
        assert any(isinstance(part, LowRankLinear) for part in stage.tail.modules())


def test_compressed_model_of_full_rank_predicts_the_same(run: Path, tmp_path: Path) -> None:
    save_checkpoint(compress(run, (80, 80)).checkpoint, tmp_path / "compressed.pt")
    original, compressed = detect.load(run), detect.load(tmp_path / "compressed.pt")
    assert isinstance(compressed.detector.head, SoftmaxHead)
    assert any(isinstance(part, LowRankLinear) for part in compressed.detector.head.modules())
    rgb = torch.randint(0, 255, (90, 100, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8).numpy()
    expected, detections = original.predict(rgb, score=0), compressed.predict(rgb, score=0)
    assert len(expected) > 0
    assert torch.allclose(detections.scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize(
    ("ranks", "message"), [((1, 1, 1), "--ranks: expected at most 2 ranks"), ((500,), "--ranks: expected a rank of 1")]
)
def test_compress_refuses_wrong_ranks(run: Path, ranks: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compress(run, ranks)


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (("compress", "model.pt", "--out"), "model.pt"),
        (("compress", "run", "--out"), "run/best.pt"),
        (("compress", "./run/../model.pt", "--out"), "model.pt"),
        (("import", "model.pt", "--from", "torchvision", "--out"), "./model.pt"),
        (("import", "model.pt", "--from", "detectron2", "--out"), "model.pt"),
        (("import", "model.pt", "--from", "mmdetection", "--out"), "model.pt"),
        (("export", "--to", "torchvision", "model.pt"), "model.pt"),
        (("export", "--to", "torchvision", "run"), "run/best.pt"),
    ],
)
def test_a_model_is_not_replaced_by_what_is_made_of_it(
    arguments: tuple[str, ...],
    out: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    detect_command: Command,
) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.copy(run / "best.pt", tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    status, stdout, err = detect_command("model", *arguments, out)
    assert (status, stdout) == (2, "")
    assert err.startswith(f"detect: {Path(out)}: expected a file that this command does not read, found one of its inp")
    assert err.endswith(f"give another {'OUT' if 'export' in arguments else '--out'}\n")
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_compress_command_writes_a_checkpoint(run: Path, tmp_path: Path, detect_command: Command) -> None:
    out = tmp_path / "compressed.pt"
    status, stdout, err = detect_command("model", "compress", run, "--out", out, "--ranks", "8,4")
    assert (status, err) == (0, "")
    assert "ranks 8, 4" in stdout
    assert load_checkpoint(out).training is None
    status, _, err = detect_command("model", "compress", out, "--out", tmp_path / "again.pt")
    assert status == 2
    assert "compressed before" in err
    status, _, err = detect_command("model", "compress", run, "--out", out, "--ranks", "8,x")
    assert (status, "whole numbers" in err) == (2, True)
