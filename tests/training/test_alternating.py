"""Faster R-CNN's four steps: what each shares, begins with and is given."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.builders.detector import build_detector
from detect.config.train import TrainConfig
from detect.inference.load import load
from detect.training.context import RunContext
from detect.training.loop import Interrupted
from detect.training.run import resume, train
from detect.training.update import Update, update_weights
from tests.training.fixtures_training import QUIET, Cut, assert_same_weights, settings_of

STEPS = ("1-rpn", "2-detector", "3-rpn", "4-head")


@pytest.fixture(scope="module")
def alternating(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alternating") / "run"
    config = settings_of(shapes_root)
    train(config.model_copy(update={"train": config.train.model_copy(update={"recipe": "alternating"})}), folder, QUIET)
    return folder


def config_with_lengths(shapes_root: Path) -> Config:
    lengths = {"rpn_steps": 3, "rpn_batch_size": 1, "rpn_milestones": [0.5]}
    train_changes = {"recipe": "alternating", "log_every": 1, "checkpoint_every": 1, **lengths}
    return settings_of(shapes_root, train=train_changes)


@pytest.fixture(scope="module")
def lengths(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lengths") / "run"
    train(config_with_lengths(shapes_root), folder, QUIET)
    return folder


def stage_folders(run: Path) -> list[Path]:
    return [run / name for name in STEPS]


def train_settings(folder: Path) -> TrainConfig:
    return load_checkpoint(folder / "best.pt").config.train


def test_alternating_stages_share_backbone_and_final_parts(alternating: Path) -> None:
    steps = [load_checkpoint(alternating / name / "best.pt").weights for name in STEPS]
    best = load_checkpoint(alternating / "best.pt").weights
    rpn, detector, second_rpn, head = steps

    def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], part: str) -> bool:
        names = [name for name in first if name.startswith(f"{part}.")]
        assert names
        return all(torch.equal(first[name], second[name]) for name in names)

    assert not same(rpn, detector, "backbone")
    assert same(detector, second_rpn, "backbone")
    assert same(detector, second_rpn, "head")
    assert same(detector, head, "backbone")
    assert not same(detector, head, "head")
    assert not same(rpn, second_rpn, "proposer")
    assert same(best, second_rpn, "proposer")
    assert same(best, head, "head")
    assert same(best, head, "backbone")


def test_alternating_stages_use_all_rpn_proposals_and_initial_weights(alternating: Path) -> None:
    configs = {name: load_checkpoint(alternating / name / "best.pt").config for name in STEPS}
    assert [configs[name].model.search.train_top_n for name in ("2-detector", "4-head")] == [
        60,
        60,
    ]  # rpn.post_nms_top_n_train
    assert configs["1-rpn"].model.search.train_top_n == 2000
    assert not (set(configs["1-rpn"].train.trainable) & {"head"})
    start, rpn = (load_checkpoint(folder / "best.pt").weights for folder in (alternating, alternating / "1-rpn"))
    fresh = build_detector(configs["1-rpn"], load(alternating).classes)[0].state_dict()
    assert all(torch.equal(rpn[name], fresh[name]) for name in fresh if name.startswith("head."))
    assert not torch.equal(rpn["head.logits.weight"], start["head.logits.weight"])


def test_alternating_stages_without_a_length_of_their_own_have_that_of_the_run(alternating: Path) -> None:
    lengths = {(stage.steps, stage.batch_size) for stage in map(train_settings, stage_folders(alternating))}
    assert lengths == {(2, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 4, 7])
def test_alternating_with_a_length_of_the_rpn_resumes_after_a_stop(
    stop: int, lengths: Path, shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop within a stage, after its first batch; an RPN has 3 steps of 1 image, a detector 2 of 2."""
    run, count = tmp_path / "run", [0]

    def counted(*arguments: Any) -> Update | None:
        count[0] += 1
        if count[0] == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return update_weights(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("detect.training.loop.update_weights", counted)
        with pytest.raises(Interrupted):
            train(config_with_lengths(shapes_root), run, QUIET)
    assert count[0] == stop
    resume(run, QUIET)
    assert_same_weights(lengths, run)


def test_alternating_stages_have_the_length_of_their_network(lengths: Path) -> None:
    stages = list(map(train_settings, stage_folders(lengths)))
    assert [stage.steps for stage in stages] == [3, 2, 3, 2]
    assert [stage.batch_size for stage in stages] == [1, 2, 1, 2]
    assert [stage.milestones for stage in stages] == [(0.5,), (5 / 7,), (0.5,), (5 / 7,)]
    assert [stage.epochs for stage in stages] == [None] * 4
    assert [load_checkpoint(folder / "best.pt").step for folder in stage_folders(lengths)] == [3, 2, 3, 2]
    assert {stage.rpn_steps for stage in stages} == {None}
    assert train_settings(lengths).rpn_steps == 3


@pytest.mark.parametrize("done", [2, *(pytest.param(done, marks=pytest.mark.slow) for done in (0, 5))])
def test_alternating_resumed_between_stages_gives_same_weights(
    done: int, alternating: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run, count = load(alternating).config, tmp_path / "run", [0]
    log = RunContext.log

    def counted(self: RunContext, line: str) -> None:
        count[0] += line.startswith("stage ")
        if count[0] > done:
            raise Cut
        log(self, line)

    with monkeypatch.context() as patched:
        patched.setattr(RunContext, "log", counted)
        with pytest.raises(Cut):
            train(config, run, QUIET)
    resume(run, QUIET)
    assert_same_weights(alternating, run)
