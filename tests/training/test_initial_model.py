from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from detect.config import Config
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import merge_overrides, parse_config
from detect.errors import UserError
from detect.training.initial_model import build_initial_detector, differing_settings
from detect.training.run import train
from tests.conftest import TINY

OLD = ("disc", "ring", "cat")


def tiny(*overrides: str) -> Config:
    return parse_config(merge_overrides(dict[str, Any](TINY), overrides), "test")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a detector of other classes and another seed."""
    folder = tmp_path_factory.mktemp("run")
    config = tiny("seed=4")
    detector, _ = build_detector(config, OLD)
    weights = detector.state_dict()
    save_checkpoint(Checkpoint(config, OLD, build_preprocess(config), weights, 1, {}), folder / "best.pt")
    return folder


def test_initial_detector_without_init_has_no_lines() -> None:
    assert build_initial_detector(tiny(), ("a",)).lines == ()


CLASSES = [
    (("dog",), ["backbone: loaded", "proposer: loaded", "re-initialized: the file has none of the classes"]),
    (OLD, ["backbone: loaded", "proposer: loaded", "head: loaded"]),
    (("cat", "dog"), ["backbone: loaded", "proposer: loaded", "loaded for background, cat, re-initialized for dog"]),
]


@pytest.mark.parametrize(("classes", "lines"), CLASSES)
def test_initial_detector_with_init_loads_parts_and_reports_each(
    classes: tuple[str, ...], lines: list[str], run: Path
) -> None:
    fresh = build_initial_detector(tiny(), classes).detector.state_dict()
    initial = build_initial_detector(tiny(f"model.init={run}"), classes)
    assert len(initial.lines) == len(lines)
    for line, part in zip(initial.lines, lines, strict=True):
        assert line.startswith(f"model.init: {run}: ")
        assert part in line
    saved = torch.load(run / "best.pt", weights_only=True)["weights"]
    loaded = initial.detector.state_dict()
    same = [name for name in loaded if "logits" not in name and "deltas" not in name]
    assert all(torch.equal(loaded[name], saved[name]) for name in same)
    name = "head.logits.weight"
    for row, label in enumerate(classes, start=1):
        source, source_row = (saved, OLD.index(label) + 1) if label in OLD else (fresh, row)
        assert torch.equal(loaded[name][row], source[name][source_row])


SEARCHED = ("model.kind=fast_rcnn", "model.proposals=selective_search")
DIFFERENT = [
    ((), (), []),
    (
        ("model.preprocess.channels=bgr", "model.preprocess.std=[1,1,1]"),
        (),
        [
            "trained with model.preprocess.channels bgr, here rgb",
            "trained with model.preprocess.std [1.0, 1.0, 1.0], here [58.395, 57.12, 57.375]",
        ],
    ),
    ((), ("model.preprocess.mean=[0,0,0]",), ["model.preprocess.mean [123.675, 116.28, 103.53], here [0.0, 0.0, 0.0]"]),
    (("model.rpn.anchor_sizes=[12,24]",), (), ["trained with model.rpn.anchor_sizes [12.0, 24.0], here [24.0, 48.0]"]),
    (("model.rpn.aspect_ratios=[1]",), (), ["model.rpn.aspect_ratios [1.0], here [0.5, 1.0, 2.0]"]),
    (("model.rpn.delta_stds=[1,1,2,2]",), (), ["model.rpn.delta_stds [1.0, 1.0, 2.0, 2.0], here [1.0, 1.0, 1.0, 1.0]"]),
    (("model.rpn.anchor_sizes=[12,24]",), SEARCHED, []),
    (SEARCHED, ("model.rpn.aspect_ratios=[1]",), []),
    ((), ("model.head.delta_stds=[1,1,1,1]",), ["head.delta_stds [0.1, 0.1, 0.2, 0.2], here [1.0, 1.0, 1.0, 1.0]"]),
    (("model.postprocess.nms_iou=0.9", "data.min_size=32"), (), []),
]


@pytest.mark.parametrize(("saved", "here", "lines"), DIFFERENT)
def test_settings_that_change_what_the_weights_mean_have_a_line_each(
    saved: tuple[str, ...], here: tuple[str, ...], lines: list[str]
) -> None:
    found = differing_settings(tiny(*saved), tiny(*here))
    assert len(found) == len(lines)
    assert all(line.endswith(part) for line, part in zip(found, lines, strict=True))


def test_initial_detector_reports_other_preprocessing_than_that_of_init(run: Path) -> None:
    lines = build_initial_detector(tiny(f"model.init={run}", "model.preprocess.channels=bgr"), OLD).lines
    assert lines[-1] == f"model.init: {run}: trained with model.preprocess.channels rgb, here bgr"


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
def test_initial_detector_with_wrong_file_is_one_line_with_the_key(
    overrides: tuple[str, ...], message: str, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.pt").write_text("text", encoding="utf-8")
    filled = [override.format(run=run, tmp=tmp_path) for override in overrides] or ["model.init=no/such"]
    with pytest.raises(UserError) as caught:
        build_initial_detector(tiny(*filled), ("a",))
    assert str(caught.value).startswith("model.init: ")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.slow
def test_box_regressor_is_trained_alone_after_the_classifier(shapes_root: Path, tmp_path: Path) -> None:
    """Fast R-CNN, table 6, stage-wise: the network with a softmax first, then the layer of the deltas."""
    common = [f"data.root={shapes_root}", "train.steps=2", "train.ema_decay=0", "data.min_size=80"]
    first, second = tmp_path / "first", tmp_path / "second"
    train(tiny(*common, "model.head.box_weight=0", "model.postprocess.box_regression=false"), first)
    train(tiny(*common, f"model.init={first}", "train.trainable=[box_regressor]"), second)
    before, after = (load_checkpoint(folder / "best.pt").weights for folder in (first, second))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.deltas.weight", "head.deltas.bias"}
    columns = (second / "metrics.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "region_box" in columns
    assert "region_class" not in columns
    assert "AP" in columns  # detections are validated, not proposals


def test_run_with_init_logs_the_loaded_parts(run: Path, shapes_root: Path, tmp_path: Path) -> None:
    config = tiny(
        f"model.init={run}", f"data.root={shapes_root}", "train.steps=1", "train.ema_decay=0", "data.min_size=80"
    )
    train(config, tmp_path / "out")
    log = (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")
    assert [f"model.init: {run}: {part}: " in log for part in ("backbone", "proposer", "head")] == [True] * 3
    assert "output layers loaded for background, disc, ring" in log
