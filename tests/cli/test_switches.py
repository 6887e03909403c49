"""Each variant that the papers compare is one ``--set`` on a built-in configuration; it trains, scores and predicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.checkpoints.checkpoint import load_checkpoint
from detect.inference.load import load
from detect.models.regions.pooled import PooledRegions
from tests.conftest import Command

TINY = ("data.train_images=6", "data.val_images=3", "train.steps=2", "train.batch_size=2", "data.workers=0")


@pytest.fixture(scope="module")
def proposals(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run selective search on the few images once; return the proposal file."""
    from rich.console import Console

    from detect.config import Config
    from detect.config.builders.data import read_image_files
    from detect.config.files import with_overrides
    from detect.proposals.search_dataset import make_proposals
    from detect.proposals.selective_search.settings import SearchSettings
    from detect.system.progress import show_progress

    config = with_overrides(Config(), [f"data.root={shapes_root}", *TINY])
    file = tmp_path_factory.mktemp("searched") / "shapes.npz"
    with show_progress(Console(quiet=True), "searching", 9, "images") as progress:
        make_proposals(read_image_files(config, ["train", "val"])[0], file, SearchSettings("single", 0), 1, progress)
    return file


VARIANTS: dict[str, tuple[str, tuple[str, ...], Callable[[Path], bool]]] = {
    "R-CNN": ("rcnn", (), lambda run: stages(run) == ["network", "features", "svms", "regressors"]),
    "R-CNN with a softmax": ("rcnn", ("model.classifier=softmax",), lambda run: "svms" not in stages(run)),
    "R-CNN, windows of all images": (
        "rcnn",
        ("model.head.sampling=global",),
        lambda run: "steps of 8 regions" in (run / "network" / "log.txt").read_text(),
    ),
    "R-CNN without box regression": (
        "rcnn",
        ("model.postprocess.box_regression=false",),
        lambda run: not load(run).base_detector.postprocess.apply_deltas,
    ),
    "Fast R-CNN": ("fast_rcnn", (), lambda run: pool(run) == "roi_pool"),
    "Fast R-CNN with RoIAlign": ("fast_rcnn", ("model.pool=roi_align",), lambda run: pool(run) == "roi_align"),
    "Fast R-CNN with SVMs": (
        "fast_rcnn",
        ("model.classifier=svm",),
        lambda run: not load_checkpoint(run / "best.pt").weights["head.logits.weight"][0].any(),
    ),
    "Faster R-CNN with RoIPool": ("faster_rcnn", ("model.pool=roi_pool",), lambda run: pool(run) == "roi_pool"),
    "Faster R-CNN, alternating": ("faster_rcnn", ("train.recipe=alternating",), lambda run: len(stages(run)) == 6),
    "an RPN alone": (
        "faster_rcnn",
        ("train.trainable=[backbone,proposer]",),
        lambda run: "val_recall" in (run / "metrics.csv").read_text(),
    ),
}

SLOW = (
    "R-CNN with a softmax",
    "R-CNN, windows of all images",
    "R-CNN without box regression",
    "Fast R-CNN with RoIAlign",
    "Faster R-CNN with RoIPool",
)


def stages(run: Path) -> list[str]:
    names: list[str] = json.loads((run / "stages.json").read_text())
    return names


def pool(run: Path) -> str:
    regions = load(run).base_detector.regions
    assert isinstance(regions, PooledRegions)
    return regions.method


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in VARIANTS]
)
def test_variant_trains_and_predicts(
    variant: str, proposals: Path, shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    config, switches, check = VARIANTS[variant]
    proposal_setting = () if config == "faster_rcnn" else (f"model.proposals={proposals}",)
    run = tmp_path / "run"
    sets = [
        part
        for setting in (f"data.root={shapes_root}", *TINY, *proposal_setting, *switches)
        for part in ("--set", setting)
    ]
    status, out, err = detect_command("train", "--config", config, *sets, "--out", run)
    assert (status, err) == (0, "")
    assert check(run)
    assert ("of the objects with an IoU of 0.5" in out) == bool(proposal_setting)
    images = list((shapes_root).glob("*/val/*.jpg"))[:1]
    flags = ("--set", "model.search.mode=single", "--set", "model.postprocess.score_threshold=0", "--score", 0)
    assert detect_command("predict", run, *images, "--out", tmp_path / "out", "--format", "json", *flags)[0] == 0
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())[0]["detections"]


def test_faster_rcnn_trains_on_selective_search(shapes_root: Path, tmp_path: Path, detect_command: Command) -> None:
    run = tmp_path / "run"
    settings = (f"data.root={shapes_root}", *TINY, "model.proposals=selective_search", "model.search.mode=single")
    sets = [part for setting in settings for part in ("--set", setting)]
    status, out, err = detect_command("train", "--config", "faster_rcnn", *sets, "--out", run)
    assert (status, err) == (0, "")
    assert "selective search:" in out
    assert not any(name.startswith("proposer") for name in load_checkpoint(run / "last.pt").weights)
