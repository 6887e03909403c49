"""A graph in the place of a detector, with a function of arrays for its library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detect.config import Config
from detect.config.builders.detector import build_preprocess
from detect.config.files import with_overrides
from detect.errors import UserError
from detect.inference import load as load_module
from detect.inference.runtimes.description import GraphDescription
from detect.inference.runtimes.graph_detector import GraphDetector, open_graph
from detect.inference.runtimes.sealed_files import write_sealed
from detect.inference.runtimes.sessions import import_extra
from detect.types import Images, Proposals
from tests.conftest import Command

OUTPUTS = ("boxes", "scores", "labels", "count")


class Recorder:
    """Returns ``count`` detections of ten rows, and keeps what it was given."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.inputs: list[dict[str, np.ndarray]] = []

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        self.inputs.append(dict(inputs))
        boxes = np.arange(40, dtype=np.float32).reshape(10, 4)
        return [boxes, np.linspace(1, 0, 10, dtype=np.float32), np.ones(10, np.int64), np.asarray(self.count)]


def batch(count: int, proposals: Sequence[int] | None = None) -> Images:
    boxes = None if proposals is None else tuple(Proposals(torch.ones(n, 4), torch.ones(n)) for n in proposals)
    return Images(torch.ones(count, 3, 32, 64), ((20, 50),) * count, tuple(range(count)), boxes)


@pytest.mark.parametrize("num_images", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 4, 10])
def test_detections_are_the_first_rows_of_each_image(num_images: int, count: int) -> None:
    run = Recorder(count)
    detections = GraphDetector(run, OUTPUTS, ("cat",), False, Path("a.onnx")).detect(batch(num_images))
    assert [len(image) for image in detections] == [count] * num_images
    assert [inputs["image"].shape for inputs in run.inputs] == [(1, 3, 20, 50)] * num_images  # without the padding
    assert all(set(inputs) == {"image"} for inputs in run.inputs)


def test_proposals_of_each_image_are_given_and_never_none() -> None:
    run = Recorder(0)
    GraphDetector(run, OUTPUTS, ("cat",), True, Path("a.onnx")).detect(batch(2, [0, 3]))
    assert [inputs["proposals"].shape for inputs in run.inputs] == [(1, 4), (3, 4)]
    assert not run.inputs[0]["proposals"].any()  # one empty box stands for none


def test_a_graph_detects_in_the_slices_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    config = with_overrides(Config(), ["train.epochs=1", "model.test_time.slice.size=64"])
    description = GraphDescription(config, ("cat",), build_preprocess(config), OUTPUTS)
    run = Recorder(0)
    graph = GraphDetector(run, OUTPUTS, ("cat",), False, Path("a.onnx"))
    monkeypatch.setattr(load_module, "open_graph", lambda *_: (graph, description))
    assert len(load_module.load("a.onnx").predict(np.zeros((64, 100, 3), np.uint8))) == 0
    assert len(run.inputs) == 3  # the image and two slices


def test_layers_of_a_graph_are_refused_in_one_line() -> None:
    graph = GraphDetector(Recorder(0), OUTPUTS, (), False, Path("a.onnx"))
    with pytest.raises(UserError, match=r"a.onnx: expected a model with layers, found a graph"):
        _ = graph.base_detector


@pytest.mark.parametrize(
    ("suffix", "precision", "message"),
    [(".onnx", "bf16", "expected fp32 for"), (".xml", "fp16", "expected fp32 or bf16 for")],
)
def test_precisions_that_a_library_lacks(suffix: str, precision: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / f"a{suffix}"
    write_sealed(file, b"graph")
    with pytest.raises(UserError, match=f"precision: {message} .*, found {precision}"):
        open_graph(file, precision)  # type: ignore[arg-type]


def test_a_missing_library_is_named_with_its_cure() -> None:
    with pytest.raises(UserError, match=r"m.onnx: expected the package no_such_runtime, found none; fix: .*\[export\]"):
        import_extra("no_such_runtime", "m.onnx")


@pytest.mark.parametrize("content", [b"", b"no graph at all", b"\x08\x0a", b"<net></net>", b"<?xml version='1.0'?>"])
@pytest.mark.parametrize(("suffix", "library"), [(".onnx", "onnxruntime"), (".xml", "OpenVINO")])
def test_a_graph_that_the_library_cannot_read_is_one_line(
    suffix: str, library: str, content: bytes, tmp_path: Path
) -> None:
    pytest.importorskip(library.lower(), reason="the extra export is not installed")
    file = tmp_path / f"a{suffix}"
    write_sealed(file, content)
    with pytest.raises(UserError, match=f"a{suffix}: expected a graph that {library} runs, found ") as error:
        open_graph(file, "fp32")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("described", "inputs", "outputs", "message"),
    [
        (False, ("image",), OUTPUTS, "expected the description of a detect graph 1, found none"),
        (True, ("picture",), OUTPUTS, "expected the inputs image, found picture"),
        (True, ("image", "proposals"), OUTPUTS, "expected the inputs image, found image, proposals"),
        (True, ("image",), ("boxes",), "expected the outputs boxes, scores, labels, count, found boxes"),
    ],
)
def test_a_graph_of_another_program_is_one_line(
    described: bool, inputs: tuple[str, ...], outputs: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    ports = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in names]
        for names in (inputs, outputs)
    ]
    nodes = [onnx.helper.make_node("Identity", [inputs[0]], [name]) for name in outputs]
    graph = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "foreign", *ports), opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9
    )
    if described:
        config = with_overrides(Config(), ["train.epochs=1"])
        text = GraphDescription(config, ("cat",), build_preprocess(config), OUTPUTS).to_json()
        onnx.helper.set_model_props(graph, {"detect": text})
    file = tmp_path / "foreign.onnx"
    write_sealed(file, graph.SerializeToString())
    with pytest.raises(UserError) as error:
        open_graph(file, "fp32")
    assert str(error.value) == f"{file}: {message}"


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("content", [b"", b"<net></net>", b"\x08\x0a"])
def test_commands_refuse_a_foreign_file_in_one_line(
    suffix: str, content: bytes, tmp_path: Path, detect_command: Command
) -> None:
    file = tmp_path / f"foreign{suffix}"
    file.write_bytes(content)
    file.with_suffix(".bin").write_bytes(b"")
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    status, _, err = detect_command("predict", file, tmp_path / "photo.png", "--out", tmp_path / "out")
    assert (status, len(err.splitlines())) == (2, 1), err
    assert "that `detect model export` wrote, found another file, or the beginning of one" in err
    assert not (tmp_path / "out").exists()
