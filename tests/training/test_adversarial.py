"""The recipe adversarial: its stages, what each leaves unchanged, and the same bits after an interruption."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.builders.adversary import build_adversary
from detect.config.builders.detector import build_uninitialized
from detect.errors import UserError
from detect.inference.load import load
from detect.models.adversaries import dropout
from detect.training.loop import Interrupted, NonFiniteStep
from detect.training.recipes.adversarial import _stage_config
from detect.training.run import replay_step, resume, train
from detect.training.update import Update, update_weights
from tests.training.fixtures_training import QUIET, assert_same_weights, settings_of

ADVERSARY = {"channels": 8, "num_convs": 1, "min_score_drop": 0.0, "loss_weight": 1.0}


def config_with(shapes_root: Path, adversary_type: str = "both", **model: Any) -> Config:
    adversary = {"type": adversary_type, **ADVERSARY}
    lengths = {"detector_fraction": 0.5, "adversary_fraction": 0.5}
    return settings_of(
        shapes_root,
        model={"adversary": adversary, **model},
        train={
            "steps": 4,
            "recipe": "adversarial",
            "adversarial": lengths,
            "lr": 0.01,
            "ema_decay": 0.5,
            "clip_grad_norm": 5.0,
            "log_every": 1,
            "checkpoint_every": 1,
        },
    )


@pytest.fixture(scope="module")
def finished_run(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adversarial") / "run"
    train(config_with(shapes_root), folder, QUIET)
    return folder


def assert_same_adversary(first: Path, second: Path) -> None:
    a, b = (load_checkpoint(folder / "best.pt").adversary for folder in (first, second))
    assert a is not None
    assert b is not None
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_stages_change_what_they_train_alone(finished_run: Path, shapes_root: Path) -> None:
    assert json.loads((finished_run / "stages.json").read_text()) == ["1-detector", "2-adversary", "3-joint"]
    first, second, third = (
        load_checkpoint(finished_run / name / "best.pt") for name in ("1-detector", "2-adversary", "3-joint")
    )
    assert [saved.step for saved in (first, second, third)] == [2, 2, 2]
    assert first.adversary is None
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    initial = build_adversary(config_with(shapes_root))
    assert initial is not None
    assert second.adversary is not None
    assert third.adversary is not None
    learned = [name for name in initial.state_dict() if name.startswith(("occlusion.", "rotation.localisation.4."))]
    assert len(learned) == 6
    for name in learned:  # the earlier layers of the rotation have no gradient while its last one is 0
        assert not torch.equal(initial.state_dict()[name], second.adversary[name]), name
        assert not torch.equal(second.adversary[name], third.adversary[name]), name
    assert not torch.equal(second.weights["head.logits.weight"], third.weights["head.logits.weight"])


def test_adversary_is_in_the_checkpoint_and_not_in_the_weights(finished_run: Path) -> None:
    saved, joint = load_checkpoint(finished_run / "best.pt"), load_checkpoint(finished_run / "3-joint" / "best.pt")
    assert_same_adversary(finished_run, finished_run / "3-joint")
    assert saved.step == 4
    assert saved.metrics
    assert not any("adversary" in name for name in saved.weights)
    detector = build_uninitialized(saved.config, saved.classes)
    assert set(detector.state_dict()) == set(saved.weights) == set(joint.weights)
    load(finished_run)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_interrupted_in_a_stage_and_resumed_gives_the_same_bits(
    stop: int, finished_run: Path, shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps in each stage; the stop is after the first one of each."""
    run, count = tmp_path / "run", [0]

    def counted(*arguments: Any) -> Update | None:
        count[0] += 1
        if count[0] == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return update_weights(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("detect.training.loop.update_weights", counted)
        with pytest.raises(Interrupted):
            train(config_with(shapes_root), run, QUIET)
    assert count[0] == stop
    resume(run, QUIET)
    assert_same_weights(finished_run, run)
    assert_same_adversary(finished_run, run)


@pytest.mark.slow
def test_stages_without_weights_of_an_adversary_are_two(shapes_root: Path, tmp_path: Path) -> None:
    saved = {}
    for adversary_type in ("none", "random_dropout", "hard_dropout"):
        run = tmp_path / adversary_type
        train(config_with(shapes_root, adversary_type), run, QUIET)
        assert json.loads((run / "stages.json").read_text()) == ["1-detector", "3-joint"]
        saved[adversary_type] = load_checkpoint(run / "best.pt")
    assert [checkpoint.adversary for checkpoint in saved.values()] == [None, {}, {}]
    none, *others = (checkpoint.weights["head.logits.weight"] for checkpoint in saved.values())
    assert all(not torch.equal(none, other) for other in others)


def test_first_stage_is_the_training_without_an_adversary(
    finished_run: Path, shapes_root: Path, tmp_path: Path
) -> None:
    plain = settings_of(
        shapes_root,
        train={"steps": 2, "lr": 0.01, "ema_decay": 0.5, "clip_grad_norm": 5.0, "validate_every": None},
    )
    train(plain, tmp_path / "run", QUIET)
    assert load_checkpoint(tmp_path / "run" / "best.pt").step == 2
    assert_same_weights(tmp_path / "run", finished_run / "1-detector")


def test_fast_rcnn_learns_against_an_adversary(shapes_root: Path, proposals: Path, tmp_path: Path) -> None:
    config = config_with(shapes_root, "asdn", kind="fast_rcnn", proposals=str(proposals))
    train(config, tmp_path / "run", QUIET)
    assert load_checkpoint(tmp_path / "run" / "best.pt").adversary


def test_step_of_an_adversary_that_is_not_finite_is_saved_with_it_and_run_again(
    shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropout, "imitation_loss", lambda logits, *_: logits.sum() * float("nan"))
    with pytest.raises(NonFiniteStep, match=r"step 1: expected finite numbers, found adversary_mask nan") as failure:
        train(config_with(shapes_root, "asdn"), tmp_path / "run", QUIET)
    file = Path(str(failure.value).split("--replay ")[1])
    assert file.parent.name == "2-adversary"
    with pytest.raises(NonFiniteStep, match="loss adversary_mask"):
        replay_step(file, QUIET)
    monkeypatch.undo()
    replay_step(file, QUIET)


@pytest.mark.parametrize(
    ("model", "train_settings", "message"),
    [
        ({}, {"recipe": "joint"}, r"train\.recipe: expected adversarial with model\.adversary\.type asdn, found joint"),
        ({"kind": "mask_rcnn"}, {}, r"adversary\.type: expected none with mask\.pool_size, found asdn"),
        ({"kind": "cascade_rcnn"}, {}, r"adversary\.type: expected none with cascade\.ious, found asdn"),
        ({"kind": "rcnn"}, {}, r"adversary\.type: expected none with kind rcnn, found asdn"),
        ({"classifier": "svm"}, {}, r"adversary\.type: expected none with classifier svm, found asdn"),
        ({}, {"patience": 1}, r"train\.patience: expected null with train\.recipe adversarial"),
        ({}, {"trainable": ["head", "adversary"]}, r"train\.trainable: expected"),
        ({"adversary": {"type": "none"}}, {"trainable": ["adversary"], "recipe": "joint"}, r"train\.trainable: expec"),
        ({"adversary": {"dropped": 0.9}}, {}, r"dropped: expected at most candidates, 0\.408163, found 0\.9"),
        ({"adversary": {"type": "asnd"}}, {}, r"model\.adversary\.type: expected .*found .?asnd"),
    ],
)
def test_adversary_that_does_not_fit_is_refused(
    model: dict[str, Any], train_settings: dict[str, Any], message: str, shapes_root: Path
) -> None:
    with pytest.raises(UserError, match=message):
        settings_of(shapes_root, model={"adversary": {"type": "asdn"}} | model, train={"steps": 2, **train_settings})


def test_adversary_without_the_detector_is_refused_before_anything_is_written(
    shapes_root: Path, tmp_path: Path
) -> None:
    config = _stage_config(config_with(shapes_root), 2, detector_is_frozen=True)
    with pytest.raises(UserError, match=r"train\.trainable: expected parts of the detector, found adversary"):
        train(config, tmp_path / "run", QUIET)
    assert not (tmp_path / "run").exists()


def test_recipe_follows_from_the_adversary(shapes_root: Path) -> None:
    config = settings_of(shapes_root, model={"adversary": {"type": "asdn"}}, train={"steps": 2})
    assert config.train.recipe == "adversarial"
    assert settings_of(shapes_root, train={"steps": 2}).train.recipe == "joint"
