from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import detect
from detect.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from detect.checkpoints.compress import compress
from detect.config.files import load_config
from detect.errors import UserError
from detect.models.heads.low_rank import ThinLinear
from detect.models.heads.softmax import SoftmaxHead
from tests.conftest import TINY, Command


@pytest.fixture(scope="module")
def trained(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY))
    overrides = [f"data.root={shapes_root}", "train.steps=1", "model.head.width=80"]
    return detect.train(load_config(file, overrides), folder / "run").folder


@pytest.mark.parametrize(
    ("ranks", "found", "after"),
    [
        (None, (64, 64), 64 * (144 + 80) + 64 * 160),
        ((16,), (16,), 16 * (144 + 80)),
        ((5, 3), (5, 3), 5 * 224 + 3 * 160),
    ],
)
def test_ranks_and_costs(trained: Path, ranks: tuple[int, ...] | None, found: tuple[int, ...], after: int) -> None:
    smaller = compress(trained, ranks)
    assert (smaller.ranks, smaller.after) == (found, after)
    assert smaller.before == (144 * 80 if len(found) == 1 else 144 * 80 + 80 * 80)
    assert smaller.checkpoint.config.model.head.ranks == found
    assert smaller.checkpoint.metrics == {}


def test_at_full_rank_a_loaded_model_answers_the_same(trained: Path, tmp_path: Path) -> None:
    save_checkpoint(compress(trained, (80, 80)).checkpoint, tmp_path / "thin.pt")
    whole, thin = detect.load(trained), detect.load(tmp_path / "thin.pt")
    assert isinstance(thin.detector.head, SoftmaxHead)
    assert any(isinstance(part, ThinLinear) for part in thin.detector.head.modules())
    rgb = torch.randint(0, 255, (90, 100, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8).numpy()
    one, other = whole.predict(rgb, score=0), thin.predict(rgb, score=0)
    assert len(one) > 0
    assert torch.allclose(one.scores, other.scores, atol=1e-4)


@pytest.mark.parametrize(
    ("ranks", "message"), [((1, 1, 1), "--ranks: expected at most 2 ranks"), ((500,), "--ranks: expected a rank of 1")]
)
def test_wrong_ranks(trained: Path, ranks: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compress(trained, ranks)


def test_the_command(trained: Path, tmp_path: Path, detect_command: Command) -> None:
    out = tmp_path / "thin.pt"
    status, said, err = detect_command("model", "compress", trained, "--out", out, "--ranks", "8,4")
    assert (status, err) == (0, "")
    assert "ranks 8, 4" in said
    assert load_checkpoint(out).training is None
    status, _, err = detect_command("model", "compress", out, "--out", tmp_path / "thinner.pt")
    assert status == 2
    assert "compressed before" in err
    status, _, err = detect_command("model", "compress", trained, "--out", out, "--ranks", "8,x")
    assert (status, "whole numbers" in err) == (2, True)
