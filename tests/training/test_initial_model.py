from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config import Config
from detect.config.builders.detector import build_detector, preprocess_rule
from detect.config.files import merge_overrides, parse
from detect.errors import UserError
from detect.training.initial_model import starting_detector
from detect.training.run import train
from tests.conftest import TINY

OLD = ("disc", "ring", "cat")


def tiny(*overrides: str) -> Config:
    return parse(merge_overrides(dict[str, Any](TINY), overrides), "test")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a detector of other classes and another seed."""
    folder = tmp_path_factory.mktemp("run")
    config = tiny("seed=4")
    detector, _ = build_detector(config, OLD)
    weights = detector.state_dict()
    save_checkpoint(Checkpoint(config, OLD, preprocess_rule(config), weights, 1, {}), folder / "best.pt")
    return folder


def test_without_init_nothing_is_said() -> None:
    assert starting_detector(tiny(), ("a",))[1] == []


CLASSES = [
    (("dog",), ["backbone: kept", "proposer: kept", "made anew: the file knows none of the classes"]),
    (OLD, ["backbone: kept", "proposer: kept", "head: kept"]),
    (("cat", "dog"), ["backbone: kept", "proposer: kept", "kept for background, cat, made anew for dog"]),
]


@pytest.mark.parametrize(("classes", "lines"), CLASSES)
def test_init_fills_the_detector_and_says_a_line_for_each_part(
    classes: tuple[str, ...], lines: list[str], run: Path
) -> None:
    fresh = starting_detector(tiny(), classes)[0].state_dict()
    detector, said = starting_detector(tiny(f"model.init={run}"), classes)
    assert len(said) == len(lines)
    for line, wanted in zip(said, lines, strict=True):
        assert line.startswith(f"model.init: {run}: ")
        assert wanted in line
    given = torch.load(run / "best.pt", weights_only=True)["weights"]
    found = detector.state_dict()
    assert all(torch.equal(found[name], given[name]) for name in found if "logits" not in name and "deltas" not in name)
    name = "head.logits.weight"
    for at, label in enumerate(classes, start=1):
        source, there = (given, OLD.index(label) + 1) if label in OLD else (fresh, at)
        assert torch.equal(found[name][at], source[name][there])


WRONG = [
    ((), "no/such: expected a run folder or a checkpoint, found nothing"),
    (("model.init={tmp}",), "expected a run folder with best.pt or last.pt, found neither"),
    (("model.init={tmp}/text.pt",), "text.pt: expected a checkpoint, found an unreadable file"),
    (
        ("model.init={run}", "model.backbone.name=resnet18"),
        "expected model.backbone.name resnet18 as configured, found small",
    ),
    (
        ("model.init={run}", "model.backbone.norm=frozen"),
        "expected model.backbone.norm frozen as configured, found batch",
    ),
]


@pytest.mark.parametrize(("overrides", "message"), WRONG)
def test_an_unfit_file_is_one_line_that_names_the_key(
    overrides: tuple[str, ...], message: str, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.pt").write_text("text", encoding="utf-8")
    filled = [override.format(run=run, tmp=tmp_path) for override in overrides] or ["model.init=no/such"]
    with pytest.raises(UserError) as caught:
        starting_detector(tiny(*filled), ("a",))
    assert str(caught.value).startswith("model.init: ")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_says_what_it_kept(run: Path, shapes_root: Path, tmp_path: Path) -> None:
    config = tiny(f"model.init={run}", f"data.root={shapes_root}", "train.steps=1", "train.ema=0", "data.min_size=80")
    train(config, tmp_path / "out")
    log = (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")
    assert [f"model.init: {run}: {part}: " in log for part in ("backbone", "proposer", "head")] == [True] * 3
    assert "outputs kept for background, disc, ring" in log
