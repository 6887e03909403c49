"""``detect explain --method adversary``: the cells that an adversary hides, at their place in the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.adversary import build_adversary
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import merge_overrides, parse_config
from detect.explain.attribution.adversary import spread_over_box
from tests.conftest import TINY, Command
from tests.models.test_detector import sharpen


def test_cells_cover_their_box_and_nothing_else() -> None:
    cells = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    spread = spread_over_box(cells, torch.tensor([2.0, 1.0, 10.0, 5.0]), (8, 12))
    assert spread.shape == (1, 8, 12)
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[1:5, 2:10] = True
    assert torch.equal(spread[0] > 0, inside)
    corners = spread[0, [1, 1, 4, 4], [2, 9, 2, 9]]
    torch.testing.assert_close(corners, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert float(spread[0, 1:5, 2:10].mean()) == pytest.approx(0.25)


def test_cells_of_an_empty_box_are_0() -> None:
    assert not spread_over_box(torch.ones(2, 2), torch.tensor([3.2, 3.2, 3.2, 3.2]), (6, 6)).any()


def save_model(folder: Path, adversary_type: str, train: bool = True) -> Path:
    config = parse_config(
        merge_overrides(
            {**TINY, "data": {**TINY["data"], "classes": ["a", "b"]}},  # type: ignore[dict-item]
            [f"model.adversary.type={adversary_type}", "model.adversary.channels=8"],
        ),
        "test",
    )
    detector, _ = build_detector(config, ("a", "b"))
    adversary = build_adversary(config)
    checkpoint = Checkpoint(
        config=config,
        classes=("a", "b"),
        preprocess=build_preprocess(config),
        weights=sharpen(detector).state_dict(),
        step=0,
        metrics={},
        adversary=adversary.state_dict() if adversary is not None and train else None,
    )
    file = folder / "model.pt"
    save_checkpoint(checkpoint, file)
    return file


@pytest.mark.parametrize("adversary_type", ["asdn", "both"])
def test_command_writes_a_map_of_each_detection(
    adversary_type: str, image: Path, tmp_path: Path, detect_command: Command
) -> None:
    model, out = save_model(tmp_path, adversary_type), tmp_path / "out"
    status, text, err = detect_command(
        "explain", model, image, "--method", "adversary", "--score", 0, "--max-detections", 2, "--out", out
    )
    assert (status, err) == (0, "")
    assert "1 image explained" in text
    (folder,) = out.iterdir()
    names = sorted(file.name for file in folder.iterdir())
    assert names == [f"adversary-{i:03}.{suffix}" for i in (1, 2) for suffix in ("npy", "png")] + ["adversary.png"]
    heat = np.load(folder / "adversary-001.npy")
    assert heat.shape == (90, 120, 1)
    assert 0 <= heat.min() < heat.max() < 1


@pytest.mark.parametrize(
    ("adversary_type", "train", "message"),
    [
        ("none", False, "expected a detector trained against an adversary"),
        ("hard_dropout", True, "expected a detector trained against an adversary"),
        ("asdn", False, "expected a detector trained against an adversary"),
        ("astn", True, "expected model.adversary.type asdn or both, which hide cells, found astn"),
    ],
)
def test_model_without_such_an_adversary_is_refused(
    adversary_type: str, train: bool, message: str, image: Path, tmp_path: Path, detect_command: Command
) -> None:
    model = save_model(tmp_path, adversary_type, train)
    status, _, err = detect_command("explain", model, image, "--method", "adversary", "--out", tmp_path / "out")
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_edge_of_a_box_is_no_target_of_it(image: Path, tmp_path: Path, detect_command: Command) -> None:
    arguments = ("--method", "adversary", "--target", "x1", "--out", tmp_path / "out")
    status, _, err = detect_command("explain", save_model(tmp_path, "asdn"), image, *arguments)
    assert status == 2
    assert "--target: expected --method" in err
