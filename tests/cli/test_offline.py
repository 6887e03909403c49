"""A trained detector needs no network and no file of initial weights, whatever weights its settings name."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import detect
from detect.checkpoints import zoo
from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from detect.checkpoints.model_card import Measurement, ModelCard
from detect.checkpoints.packaged import save_packaged
from detect.config import Config
from detect.config.builders.detector import build_preprocess, build_uninitialized, pretrained_tensors
from detect.config.files import merge_overrides, parse_config, to_yaml
from detect.data.shapes.sprite import CLASSES
from detect.errors import UserError
from detect.training.initial_model import build_initial_detector
from tests.conftest import TINY, Command

NAMES = tuple(CLASSES)  # of the built-in data
WEIGHTS = ("IMAGENET1K_V1", "/gone/weights.pth")
CARD = ModelCard(
    license="MIT",
    data="shapes",
    measured=Measurement(dataset="shapes val", images=4, metric="coco", score=0.25, machine="a test"),
)


class BlockedSocket(socket.socket):
    """A socket that fails unless it is local: workers that load data talk over local ones."""

    def __init__(self, family: int = socket.AF_INET, *arguments: Any, **options: Any) -> None:
        if family != socket.AF_UNIX:
            raise OSError("no network in this test")
        super().__init__(family, *arguments, **options)


def fail(*_: object, **__: object) -> NoReturn:
    raise OSError("no network in this test")


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", BlockedSocket)
    monkeypatch.setattr(socket, "create_connection", fail)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))


def settings(weights: str, *overrides: str) -> Config:
    network = ["model.backbone.name=mobilenet_v3_small", f"model.backbone.weights={weights}", "train.ema_decay=0"]
    return parse_config(merge_overrides(dict[str, Any](TINY), [*network, "train.steps=1", *overrides]), "test")


def save_model(folder: Path, weights: str) -> Path:
    """Save a run folder with a detector that was trained from ``weights``; return its checkpoint."""
    config = settings(weights, "seed=9", "model.postprocess.score_threshold=0")
    weights_of_seed = build_uninitialized(config, NAMES).state_dict()
    checkpoint = Checkpoint(config, NAMES, build_preprocess(config), weights_of_seed, 1, {})
    save_checkpoint(checkpoint, folder / "best.pt")
    save_packaged(checkpoint, CARD, folder / "shipped" / "tiny.safetensors")
    return folder / "best.pt"


@pytest.fixture(scope="module", params=[WEIGHTS[0], pytest.param(WEIGHTS[1], marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a trained detector; the packaged one is in the folder ``shipped`` beside it."""
    return save_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture
def name(model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the packaged detector as one of those that come with the package."""
    monkeypatch.setattr(zoo, "SHIPPED", model.parent / "shipped")
    return "detect/tiny"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_network_is_blocked_and_initial_weights_would_be_read() -> None:
    for weights, message in zip(WEIGHTS, ("could not fetch", "expected a weights file, found nothing"), strict=True):
        with pytest.raises(UserError, match=message):
            build_initial_detector(settings(weights), NAMES)


def test_predict_with_checkpoint_file_and_name_detects_the_same(
    model: Path, name: str, photo: Path, tmp_path: Path, detect_command: Command
) -> None:
    results = []
    for index, source in enumerate((model, model.parent / "shipped" / "tiny.safetensors", name)):
        out = tmp_path / f"out{index}"
        status, text, err = detect_command("predict", source, photo, "--out", out, "--workers", 0, "--score", 0)
        assert (status, err) == (0, "")
        assert text.startswith(f"{photo}: ")
        results.append((out / "predictions.json").read_text(encoding="utf-8"))
    assert results[1] == results[2]
    assert results[0].count('"label"') == results[1].count('"label"') > 0


@pytest.mark.slow
def test_eval_and_explain_with_a_name(
    name: str, photo: Path, shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    status, _, err = detect_command("eval", name, "--set", f"data.root={shapes_root}")
    assert (status, err) == (0, "")
    status, _, err = detect_command("explain", name, photo, "--method", "trace", "--score", 0, "--out", tmp_path / "t")
    assert (status, err) == (0, "")


def test_python_loads_a_name_and_prints_its_detections(name: str, photo: Path) -> None:
    detector = detect.load(name)
    assert re.match(r"Predictor\(.*tiny\.safetensors: faster_rcnn on mobilenet_v3_small, 6 classes, ", repr(detector))
    lines = str(detector.predict(str(photo), score=0.0)).splitlines()
    assert lines
    assert all(re.fullmatch(rf"({'|'.join(NAMES)}) +[01]\.\d\d( +\d+\.\d){{4}}", line) for line in lines)
    assert str(detector.predict(str(photo), score=1.1)) == "no detections"


@pytest.mark.slow
def test_training_from_a_trained_detector_and_resuming_it(
    name: str, model: Path, shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    """The initial detector is gone, too, when the run is resumed."""
    weights = load_checkpoint(model).config.model.backbone.weights
    initial, run = tmp_path / "initial.pt", tmp_path / "run"
    shutil.copy(model, initial)
    config = settings(str(weights), f"data.root={shapes_root}", f"model.init={initial}")
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    status, _, err = detect_command("train", "--config", tmp_path / "config.yaml", "--out", run)
    assert (status, err) == (0, "")
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert f"initial weights: {weights} not read: model.init has all" in log
    initial.unlink()
    more = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert more["model"]["backbone"]["weights"] == weights
    more["train"]["steps"] = 2
    (run / "config.yaml").write_text(yaml.safe_dump(more), encoding="utf-8")
    status, _, err = detect_command("train", "--resume", run)
    assert (status, err) == (0, "")
    assert load_checkpoint(run / "last.pt").step == 2
    by_name = build_initial_detector(settings(str(weights), f"model.init={name}"), NAMES).detector.state_dict()
    halved = {key: t.half().float() if t.dim() > 1 else t for key, t in load_checkpoint(model).weights.items()}
    assert all(torch.equal(by_name[key], tensor) for key, tensor in halved.items())


NETWORKS = ("mobilenet_v2", "resnet18", "vgg11_bn", "small")
QUICK = ("resnet18", "small")


@pytest.mark.parametrize(
    "network", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in NETWORKS]
)
@pytest.mark.parametrize("kind", ["faster_rcnn", "rcnn"])
@pytest.mark.parametrize("norm", ["batch", "frozen"])
def test_pretrained_tensors_are_those_of_body_and_own_tail(network: str, kind: str, norm: str) -> None:
    model: dict[str, Any] = {"kind": kind, "backbone": {"name": network, "norm": norm}, "head": {"type": "backbone"}}
    config = parse_config({"model": model, "train": {"steps": 1}}, "test")
    names = pretrained_tensors(config, ("a",))
    state = build_uninitialized_on_meta(config)
    new = ("proposer.", "head.logits.", "head.deltas.", "head.transform.")
    assert names == {name for name in state if not name.startswith(new)}
    assert len(names) > 10


def build_uninitialized_on_meta(config: Config) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return build_uninitialized(config, ("a",)).state_dict()


@pytest.mark.slow
def test_weights_of_the_backbone_are_read_where_init_leaves_a_part_of_it(model: Path, tmp_path: Path) -> None:
    weights = load_checkpoint(model).config.model.backbone.weights
    saved = load_checkpoint(model)
    left_out = next(key for key in saved.weights if key in pretrained_tensors(saved.config, NAMES))
    part = {key: tensor for key, tensor in saved.weights.items() if key != left_out}
    save_checkpoint(Checkpoint(saved.config, NAMES, saved.preprocess, part, 1, {}), tmp_path / "part.pt")
    with pytest.raises(UserError, match=r"could not fetch|expected a weights file, found nothing"):
        build_initial_detector(settings(str(weights), f"model.init={tmp_path / 'part.pt'}"), NAMES)


def test_zoo_lists_the_detectors_of_the_package_first_with_the_figures_of_their_files(
    name: str, detect_command: Command
) -> None:
    status, text, _ = detect_command("model", "zoo")
    assert status == 0
    row = next(line for line in text.splitlines() if f" {name} " in line)
    for part in ("shapes val, 4 images", "AP", "0.250", "MB", "- (a test)", "MIT", "shapes"):
        assert part in row
    assert text.index(name) < text.index("torchvision/")


def test_mistyped_name_gets_the_nearest_one(name: str, detect_command: Command, photo: Path, tmp_path: Path) -> None:
    status, _, err = detect_command("predict", f"{name}y", photo, "--out", tmp_path / "out")
    assert status == 2
    assert f'found none (did you mean "{name}"?)' in err
    assert err.count("\n") == 1


def test_name_in_an_installation_without_detectors_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match=r"^detect/tiny: expected a file in .*, found none: this installation lacks"):
        detect.load("detect/tiny")


def test_detector_of_the_package_loads(detect_command: Command) -> None:
    file = zoo.SHIPPED / "voc_faster_rcnn.safetensors"
    detector = detect.load("detect/voc_faster_rcnn")
    assert len(detector.classes) == 20
    assert file.stat().st_size < 16e6
    status, text, _ = detect_command("model", "zoo")
    assert status == 0
    assert " detect/voc_faster_rcnn " in text
