from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config, to_dict
from detect.config.builders.data import read_splits
from detect.config.builders.resolve import resolve
from detect.config.files import load_config
from detect.system.device import ComputeConfig
from detect.training.finetuning import choose as choose_module
from detect.training.finetuning.choose import ChosenConfig, choose_settings
from detect.training.run import resume, train
from tests.conftest import Command
from tests.training.fixtures_training import QUIET, assert_same_weights

CPU = ComputeConfig(torch.device("cpu"))
FINE_TUNING = Path("finetune")
SHORT = ("train.epochs=2", "train.batch_size=4", "model.rpn.post_nms_top_n_train=40")


def finetuning(initial: Path, photos: Path, *overrides: str) -> Config:
    return load_config(FINE_TUNING, [f"data.root={photos}", f"model.init={initial}", *overrides])


def choose(initial: Path, photos: Path, *overrides: str) -> ChosenConfig:
    config = finetuning(initial, photos, *overrides)
    splits = read_splits(config)
    return choose_settings(resolve(config), splits.train, splits.num_objects, CPU)


def test_model_and_image_size_are_those_of_the_initial_model(initial: Path, photos: Path) -> None:
    chosen = choose(initial, photos)
    config, before = chosen.config, load_checkpoint(initial).config
    adapted: dict[str, Any] = {"init": None, "rpn": {}}
    assert to_dict(config.model) | adapted == to_dict(before.model) | adapted
    assert (config.model.init, config.train.auto) == (str(initial), False)
    assert config.data.size_divisor == 16
    assert config.model.rpn.channels == before.model.rpn.channels
    assert (config.train.batch_size, config.train.epochs, config.train.patience) == (4, 32, 3)
    assert (config.train.optimizer, config.data.workers, config.data.format) == ("adamw", 0, "coco")
    assert chosen.lines[0].startswith(f"model: faster_rcnn with small, its layers and preprocessing as in {initial}, ")
    assert chosen.lines[1].startswith("anchors of the initial model: ")


OVERRIDES: list[tuple[str, str, Any]] = [
    ("train.lr=0.5", "train.lr", 0.5),
    ("train.steps=7", "train.steps", 7),
    ("train.epochs=3", "train.epochs", 3),
    ("train.batch_size=2", "train.batch_size", 2),
    ("train.trainable=[head]", "train.trainable", ["head"]),
    ("train.patience=null", "train.patience", None),
    ("train.validate_every=1", "train.validate_every", 1),
    ("train.optimizer=sgd", "train.optimizer", "sgd"),
    ("data.workers=1", "data.workers", 1),
    ("data.min_size=64", "data.min_size", 64),
    ("model.rpn.anchor_sizes=[8, 90]", "model.rpn.anchor_sizes", [8.0, 90.0]),
    ("model.postprocess.nms_iou=0.7", "model.postprocess.nms_iou", 0.7),
]


@pytest.mark.parametrize(("override", "key", "setting"), OVERRIDES)
def test_what_is_set_stays_and_is_not_said_to_be_chosen(
    override: str, key: str, setting: Any, initial: Path, photos: Path
) -> None:
    chosen = choose(initial, photos, override)
    settings: Any = to_dict(chosen.config)
    for part in key.split("."):
        settings = settings[part]
    assert settings == setting
    assert not any(line.startswith(f"chosen: {key}=") for line in chosen.lines)
    if key == "train.steps":
        assert chosen.config.train.epochs is None
        assert not any("train.epochs" in line for line in chosen.lines)
    if key in ("data.min_size", "model.rpn.anchor_sizes"):
        assert not any("data.max_size" in line for line in chosen.lines)


def test_without_validation_no_patience_is_chosen(initial: Path, photos: Path) -> None:
    assert choose(initial, photos, "train.validate_every=null").config.train.patience is None


@pytest.mark.parametrize(
    ("override", "left_out"),
    [
        ("train.recipe=alternating", {"train.patience", "train.validate_every", "train.trainable"}),
        ("model.adversary.type=random_dropout", {"train.patience", "train.validate_every"}),
        ("model.classifier=svm", {"train.patience", "train.validate_every"}),
    ],
)
def test_a_recipe_of_stages_is_left_what_it_decides(
    override: str, left_out: set[str], initial: Path, photos: Path
) -> None:
    chosen, plain = (
        {line.split("=")[0].removeprefix("chosen: ") for line in choose(initial, photos, *more).lines}
        for more in ((override,), ())
    )
    assert plain - chosen == left_out


def test_a_null_as_initial_model_is_the_default_one(
    initial: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_module, "default_initial", lambda has_cuda: (str(initial), f"cuda: {has_cuda}"))
    chosen = choose(initial, photos, "model.init=null")
    assert chosen.config.model.init == str(initial)
    assert f'chosen: model.init="{initial}" (cuda: False)' in chosen.lines


def test_every_choice_has_a_line_and_is_in_the_settings(initial: Path, photos: Path) -> None:
    chosen = choose(initial, photos)
    keys = {line.removeprefix("chosen: ").split("=")[0] for line in chosen.lines if line.startswith("chosen: ")}
    assert {"train.batch_size", "train.epochs", "train.lr", "train.trainable", "train.validate_every"} <= keys
    assert {"train.patience", "data.workers"} <= keys


@pytest.mark.parametrize("override", ["data.slice.size=64", "data.repeat_factor_threshold=0.9"])
def test_an_object_counts_once_in_however_many_images_it_is(override: str, initial: Path, photos: Path) -> None:
    plain, repeated = (read_splits(finetuning(initial, photos, *more)).train for more in ((), (override,)))
    assert len(repeated.boxes) > len(plain.boxes)
    (line,) = (line for line in choose(initial, photos, override).lines if line.startswith("chosen: train.trainable="))
    assert f" ({len(plain.boxes)} objects: " in line


@pytest.mark.slow
def test_a_run_measures_its_time_first_and_equals_one_of_its_own_settings(
    initial: Path, photos: Path, tmp_path: Path
) -> None:
    train(finetuning(initial, photos, *SHORT), tmp_path / "first", QUIET)
    log = (tmp_path / "first" / "log.txt").read_text(encoding="utf-8")
    assert "expected: at most " in log
    assert log.index("chosen: train.lr=0.0004") < log.index("expected: at most ") < log.index("6 steps of 4 images")
    assert "output layers loaded for background, disc, re-initialized for " in log  # "Disc" in the initial model
    settings = load_config(tmp_path / "first" / "config.yaml")
    assert not settings.train.auto
    train(settings, tmp_path / "second", QUIET)
    assert_same_weights(tmp_path / "first", tmp_path / "second")
    assert "expected: at most" not in (tmp_path / "second" / "log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_time_of_a_detector_that_reads_proposals_is_measured_with_them(
    initial: Path, photos: Path, tmp_path: Path
) -> None:
    settings = (*SHORT, "model.kind=fast_rcnn", "model.search.mode=single")
    train(finetuning(initial, photos, *settings), tmp_path / "run", QUIET)
    assert "expected: at most " in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_resumed_run_chooses_nothing_again(
    initial: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detect.training import run

    train(finetuning(initial, photos, *SHORT), tmp_path / "run", QUIET)
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    monkeypatch.setattr(run, "choose_settings", None)
    monkeypatch.setattr(run, "measure_time", None)
    initial_bytes = initial.read_bytes()
    initial.unlink()  # the initial model is not needed either
    try:
        resume(tmp_path / "run", QUIET)
    finally:
        initial.write_bytes(initial_bytes)
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


@pytest.mark.slow
def test_command_fine_tunes_on_a_folder_of_any_name_and_resumes(
    initial: Path, photos: Path, tmp_path: Path, detect_command: Command
) -> None:
    folder, run = tmp_path / "Fotos: 1e3 \N{GRINNING FACE} #1", tmp_path / "run"
    shutil.copytree(photos, folder)
    flags = ["--set", f"model.init={initial}", "--set", "train.steps=2", "--out", run]
    status, out, err = detect_command("train", "--data", folder, *flags)
    assert (status, err) == (0, "")
    assert "chosen: train.batch_size=4 (" in out
    assert load_config(run / "config.yaml").data.root == str(folder)
    assert detect_command("train", "--resume", run)[0] == 0
