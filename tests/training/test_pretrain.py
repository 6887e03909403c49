"""A backbone trained as a classifier: its file starts a detector, and its crops are its objects."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.builders.detector import build_detector
from detect.config.files import load_config
from detect.inference.load import load
from detect.models.backbones import registry
from detect.ops.boxes import iou
from detect.training.recipes.pretrain import BOXES_PER_OBJECT, JitteredBoxes
from tests.conftest import TINY, Command


@pytest.fixture(scope="module")
def config_file(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny: dict[str, Any] = copy.deepcopy(TINY)
    tiny["data"] |= {"root": str(shapes_root), "train_images": 6, "min_size": 64}
    tiny["train"] = {"steps": 3, "batch_size": 8, "lr": 0.01}
    tiny["model"]["crop"] = {"size": 52, "context": 2}  # 7 x 7 cells for the network's own tail
    tiny["model"]["head"].pop("pool_size")
    file = tmp_path_factory.mktemp("config") / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny))
    return file


def test_pretrained_weights_load_into_a_detector(config_file: Path, tmp_path: Path, detect_command: Command) -> None:
    run = tmp_path / "run"
    status, out, err = detect_command("pretrain", "--config", config_file, "--out", run)
    assert (status, err) == (0, "")
    assert "3 steps of 8 objects" in out
    sampler = load(run).base_detector.head_training.sampler
    assert (sampler.positive_fraction, sampler.add_gt_proposals) == (
        1.0,
        False,
    )  # what the plan has drawn, and nothing beside it
    assert "accuracy" in (run / "metrics.csv").read_text()
    saved = torch.load(run / "weights.pth", weights_only=True)
    network = registry.build_network("small").state_dict()
    assert set(saved) == set(network)  # this network has no classifier of its own
    overrides = [f"model.backbone.weights={run / 'weights.pth'}", "model.kind=fast_rcnn", "model.proposals=x.npz"]
    detector, report = build_detector(load_config(config_file, overrides), ("a", "b"))
    assert report is not None
    assert (report.missing, report.unexpected, report.wrong_shape) == ((), (), ())
    trained = load_checkpoint(run / "best.pt").weights
    started = detector.state_dict()
    stem = "body.stages.0.0.weight"
    assert torch.equal(started[f"backbone.{stem}"], trained[f"regions.{stem}"])


@pytest.mark.slow
def test_pretrain_resumed_gives_same_weights(config_file: Path, tmp_path: Path, detect_command: Command) -> None:
    short, undisturbed = tmp_path / "short", tmp_path / "whole"
    length = ("--set", "train.schedule=constant", "--set", "train.checkpoint_every=1")
    assert detect_command("pretrain", "--config", config_file, *length, "--out", undisturbed)[0] == 0
    flags = (*length, "--set", "train.steps=2", "--out", short)
    assert detect_command("pretrain", "--config", config_file, *flags)[0] == 0
    config = (short / "config.yaml").read_text()
    (short / "config.yaml").write_text(config.replace("steps: 2", "steps: 3"))
    assert detect_command("train", "--resume", short)[0] == 0
    first, second = (torch.load(run / "weights.pth", weights_only=True) for run in (undisturbed, short))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("count", [0, 1, 3])
@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_jittered_boxes_stay_near_their_object(count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    corners = draw.uniform(0, 50, (count, 2))
    boxes = np.concatenate([corners, corners + draw.uniform(1, 40, (count, 2))], 1)
    variants = JitteredBoxes({"a.jpg": boxes}, seed)
    jittered, scores = variants["a.jpg"]
    assert len(jittered) == len(scores) == BOXES_PER_OBJECT * count
    assert np.array_equal(jittered, variants["a.jpg"][0])
    near = iou(torch.from_numpy(jittered), torch.from_numpy(boxes)) if count else torch.zeros(0, 0)
    ious = near[torch.arange(len(jittered)), torch.arange(count).repeat_interleave(BOXES_PER_OBJECT)]
    assert bool((ious >= 0.5).all())
