"""A cascade is trained, saved, loaded and resumed as any other detector."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

import detect
from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.builders.detector import build_uninitialized
from detect.data.shapes.dataset import draw_scene
from detect.training.run import train
from tests.training.fixtures_training import QUIET, settings_of

CASCADE = {"kind": "cascade_rcnn", "cascade": {"ious": [0.5, 0.6]}}


@pytest.mark.parametrize("precomputed", [False, True], ids=["rpn", "precomputed"])
def test_cascade_trains_to_a_checkpoint_that_loads(
    shapes_root: Path, proposals: Path, tmp_path: Path, precomputed: bool
) -> None:
    model = CASCADE | ({"proposals": str(proposals)} if precomputed else {})
    steps = {"steps": 2, "batch_size": 2, "log_every": 1, "ema_decay": 0.9}
    config = settings_of(shapes_root, model=model, train=steps)
    train(config, tmp_path / "run", QUIET)
    with (tmp_path / "run" / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    names = {f"region_{name}_{stage}" for name in ("class", "box") for stage in (1, 2)}
    assert names <= rows[0].keys()
    assert "region_class" not in rows[0]
    last, best = (load_checkpoint(tmp_path / "run" / file) for file in ("last.pt", "best.pt"))
    detector = build_uninitialized(last.config, last.classes)
    initial = {name: value.clone() for name, value in detector.state_dict().items()}
    detector.load_state_dict(best.weights)
    changed = {name for name, value in best.weights.items() if not torch.equal(value, initial[name])}
    assert {f"head.{stage}.{layer}.weight" for stage in (0, 1) for layer in ("logits", "deltas")} <= changed
    if not precomputed:
        predictor = detect.load(tmp_path / "run")
        assert len(predictor.predict(draw_scene(0, "val", 0).rgb, 0.0)) > 0
