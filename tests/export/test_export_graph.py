"""Exported graphs detect what the model detects; a graph that does not is never written."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from detect.bench.random_model import OUTPUT_STDS, scale_outputs
from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config import Config
from detect.config.builders.detector import build_preprocess, build_uninitialized
from detect.config.files import parse_config
from detect.data.images import read_image
from detect.errors import RunError, UserError
from detect.export import export_graph as exporting
from detect.export.check import same_detections
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.types import Detections, Images, Proposals
from tests.conftest import Command

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = sorted((ROOT / "data" / "photos").glob("*.jpg"))
CLASSES = ("cat", "big dog", "cow")
RUNTIMES = ("onnxscript", "onnxruntime", "openvino")
needs_runtimes = pytest.mark.skipif(
    any(find_spec(name) is None for name in RUNTIMES), reason="the extra export is not installed"
)
FASTER: dict[str, Any] = {
    "kind": "faster_rcnn",
    "backbone": {"name": "small", "norm": "frozen", "output": "merged", "neck_channels": 16},
    "rpn": {"channels": 16, "anchor_sizes": [12, 24, 48], "allowed_border": None, "post_nms_top_n_test": 60},
    "head": {"type": "fc", "fc_dim": 32, "pool_size": 4},
}


def make_config(**model: Any) -> Config:
    data = {"min_size": 112, "max_size": 160, "size_divisor": 16}
    return parse_config({"seed": 1, "model": FASTER | model, "data": data, "train": {"epochs": 1}}, "test")


def save_random_model(config: Config, file: Path) -> Path:
    """A checkpoint whose output layers are scaled to give many detections in the first photo."""
    return save_scaled(config, CLASSES, file)


def save_scaled(
    config: Config, classes: tuple[str, ...], file: Path, weights: Mapping[str, torch.Tensor] | None = None
) -> Path:
    """The same with other class names, and with ``weights`` before the scaling instead of random ones."""
    detector, preprocess = build_uninitialized(config, classes).eval(), build_preprocess(config)
    if weights is not None:
        detector.load_state_dict(weights)
    else:
        for layer in detector.backbone.modules():
            if isinstance(layer, nn.Conv2d):  # by default, deep bodies fade until half of the scores differ by rounding
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    pixels = preprocess.normalize(preprocess.resize(read_image(PHOTOS[0])))
    boxes = torch.rand(60, 2, 2, generator=torch.Generator().manual_seed(1)).sort(1).values.reshape(-1, 4) * 112
    proposals = [Proposals(boxes, torch.ones(60))] if config.model.uses_precomputed_proposals else None
    batch = preprocess.batch([pixels], [0], proposals)
    layers = [detector.proposer.output_layers(), *(stage.output_layers() for stage in detector.head.stages)]
    scaled = [
        {name: group[name] for name in group if name in OUTPUT_STDS and group[name].weight.any()} for group in layers
    ]
    with torch.no_grad():
        scale_outputs(scaled, lambda: detector.detect(batch))
    save_checkpoint(Checkpoint(config, classes, preprocess, detector.state_dict(), 0, {}), file)
    return file


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(make_config(), tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture(scope="module")
def onnx_file(model: Path) -> Path:
    """The model as ONNX, exported once, with its check."""
    file = model.with_suffix(".onnx")
    exporting.export_graph(model, file, "onnx", PHOTOS)
    return file


class NoDetections:
    """Has the ``detect`` of a detector, and detects nothing."""

    def detect(self, images: Images) -> list[Detections]:
        return [Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)) for _ in images.sizes]


@pytest.mark.parametrize(
    ("silent", "message"),
    [("graph", "expected 99% of the same detections"), ("both", "expected detections to compare, found none in 3")],
)
def test_a_graph_that_detects_something_else_is_not_written(
    silent: str, message: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_silent(file: Path, device: Any) -> Predictor:
        predictor = load(model, device)
        if silent == "both" or file != model:
            monkeypatch.setattr(predictor.detector, "detect", NoDetections().detect)
        return predictor

    monkeypatch.setattr(exporting, "load", load_silent)
    monkeypatch.setattr(exporting, "to_onnx", lambda *_: b"graph")
    out = tmp_path / "out.onnx"
    out.write_bytes(b"what was there")
    with pytest.raises(RunError, match=f"out.onnx: {message}.*nothing is written"):
        exporting.export_graph(model, out, "onnx", PHOTOS)
    assert [file.name for file in tmp_path.iterdir()] == ["out.onnx"]
    assert out.read_bytes() == b"what was there"


def test_mistakes_are_one_line(model: Path, tmp_path: Path, detect_command: Command) -> None:
    out = tmp_path / "out.onnx"
    for arguments, message in [
        (("--to", "onnx", model, tmp_path / "out.xml"), "expected a name that ends in .onnx, found out.xml"),
        (("--to", "openvino", model, out), "expected a name that ends in .xml, found out.onnx"),
        (("--to", "torchvision", model, out, "--check", PHOTOS[0]), "--check: expected --to onnx or openvino"),
        (("--to", "onnx", model, out, "--card", "card.yaml"), "--card: expected --to safetensors"),
        (("--to", "onnx", model, out, "--check", tmp_path / "nothing"), "nothing"),
    ]:
        status, _, err = detect_command("model", "export", *arguments)
        assert (status, len(err.splitlines())) == (2, 1), err
        assert message in err
    assert not list(tmp_path.iterdir())


def test_augmented_views_are_refused(model: Path) -> None:
    predictor = load(model, "cpu", overrides=["model.test_time.flip=true"])
    with pytest.raises(UserError, match=r"model.test_time: expected one view of each image"):
        exporting.make_graph(predictor)


@needs_runtimes
@pytest.mark.slow
def test_onnx_is_a_model(model: Path, onnx_file: Path, tmp_path: Path, detect_command: Command) -> None:
    expected, graph = load(model, "cpu"), load(onnx_file, "cpu")
    assert (graph.classes, graph.preprocess) == (CLASSES, expected.preprocess)
    for photo in PHOTOS:
        a, b = expected.predict(photo, 0.0), graph.predict(photo, 0.0)
        assert len(a) >= 50
        assert len(a) == len(b) == int(same_detections(a, b).any(1).sum())
    empty = graph.predict(np.full((40, 60, 3), 128, np.uint8), 0.999)
    assert len(empty) == len(expected.predict(np.full((40, 60, 3), 128, np.uint8), 0.999))
    status, out, err = detect_command(
        "predict", onnx_file, *PHOTOS, "--out", tmp_path, "--score", "0.5", "--workers", "0", "--device", "cpu"
    )
    assert status == 0, err
    assert "detections" in out
    with pytest.raises(UserError, match=r"--set: expected model.\* and data.size_divisor as"):
        load(onnx_file, overrides=["model.postprocess.score_threshold=0.2"])
    larger = load(onnx_file, overrides=["data.min_size=128", "data.max_size=192"])
    other = load(model, overrides=["data.min_size=128", "data.max_size=192"])
    same = same_detections(other.predict(PHOTOS[0], 0.0), larger.predict(PHOTOS[0], 0.0))
    assert same.any(1).all()
    with pytest.raises(UserError, match="found a graph for detection alone"):
        _ = graph.base_detector


@needs_runtimes
@pytest.mark.slow
def test_the_example_of_the_docs_detects_the_same(onnx_file: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "import detect" not in program
    assert len(program.splitlines()) <= 48
    script = tmp_path / "detect_photo.py"
    script.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, onnx_file, PHOTOS[0]], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    expected = load(onnx_file, "cpu").predict(PHOTOS[0], 0.5)
    lines = done.stdout.splitlines()
    assert len(lines) == len(expected) >= 5
    for line, name, score, box in zip(lines, expected.names(), expected.scores, expected.boxes, strict=True):
        words = line.removeprefix(f"{name} ").split()
        assert float(words[0]) == pytest.approx(float(score), abs=2e-3)
        assert [float(word) for word in words[1:]] == pytest.approx(box.tolist(), abs=0.2)


@needs_runtimes
@pytest.mark.slow
def test_openvino_is_a_model(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.xml"
    exported = exporting.export_graph(model, file, "openvino", PHOTOS)
    assert exported.check.num_expected >= 150
    assert exported.size == sum(part.stat().st_size for part in tmp_path.iterdir())
    a, b = load(model, "cpu").predict(PHOTOS[1], 0.0), load(file, "cpu").predict(PHOTOS[1], 0.0)
    assert len(a) == len(b) == int(same_detections(a, b).any(1).sum())
