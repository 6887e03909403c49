"""Checkpoints of older versions: settings and weights are read under their present names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from detect.checkpoints.renamed_weights import RENAMED_WEIGHTS, rename_weights
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import parse_config
from detect.config.renamed import RENAMED_KEYS, print_once
from detect.system.checksums import load_with_checksum, save_with_checksum
from tests.conftest import TINY

CLASSES = ("a", "b")


def with_old_names(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings with the keys of the older version."""
    same_section = ((old, new) for old, new in RENAMED_KEYS.items() if old.count(".") == new.count("."))
    old_keys = {new: old for old, new in same_section}
    return {
        old_keys.get(f"{prefix}{name}", name).rpartition(".")[2]: (
            with_old_names(setting, f"{prefix}{name}.") if isinstance(setting, dict) else setting
        )
        for name, setting in section.items()
    }


def with_old_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict with the names of the older version."""
    renamed = {}
    for name, tensor in weights.items():
        prefix = next((new for new in RENAMED_WEIGHTS.values() if name.startswith(new)), "")
        old_prefix = next((old for old, new in RENAMED_WEIGHTS.items() if new == prefix), "")
        renamed[old_prefix + name.removeprefix(prefix)] = tensor
    return renamed


@pytest.mark.parametrize(("old", "new"), RENAMED_WEIGHTS.items())
def test_rename_weights_replaces_the_start_of_a_name(old: str, new: str) -> None:
    weights = {f"{old}weight": torch.ones(1), f"{old}0.bias": torch.zeros(1), f"a.{old}b": torch.ones(2)}
    assert list(rename_weights(weights)) == [f"{new}weight", f"{new}0.bias", f"a.{old}b"]


def test_a_checkpoint_with_old_names_is_the_same_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = parse_config({**TINY, "model": {**TINY["model"], "rpn": {"num_convs": 3}}}, "test")  # type: ignore[dict-item]
    detector, _ = build_detector(config, CLASSES)
    weights = detector.state_dict()
    training = {"weights": weights, "optimizer": {}}
    saved = Checkpoint(config, CLASSES, build_preprocess(config), weights, 3, {}, training)
    new, old = tmp_path / "new.pt", tmp_path / "old.pt"
    save_checkpoint(saved, new)
    content, _ = load_with_checksum(new, "a checkpoint")
    content["config"] = with_old_names(content["config"])
    content["weights"] = with_old_weights(content["weights"])
    content["training"]["weights"] = with_old_weights(content["training"]["weights"])
    assert {name.split(".")[2] for name in content["weights"] if name.startswith("proposer.head.")} == {
        "hidden",
        "further",
        "objectness",
        "deltas",
    }
    save_with_checksum(old, content)
    print_once.cache_clear()
    loaded = load_checkpoint(old)
    assert capsys.readouterr().err.startswith(f"{old}: model.backbone.width: now model.backbone.neck_channels; ")
    assert loaded.config == config
    assert loaded.training is not None
    for state in (loaded.weights, loaded.training["weights"]):
        assert list(state) == list(weights)
        build_detector(config, CLASSES)[0].load_state_dict(state)
