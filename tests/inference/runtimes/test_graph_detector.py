"""A graph in the place of a detector, with a function of arrays for its library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from detect.errors import UserError
from detect.inference.runtimes.graph_detector import GraphDetector, open_graph
from detect.inference.runtimes.sealed_files import write_sealed
from detect.inference.runtimes.sessions import import_extra
from detect.types import Images, Proposals

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


def test_a_graph_that_the_library_cannot_read_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    file = tmp_path / "a.onnx"
    write_sealed(file, b"no graph at all")
    with pytest.raises(UserError, match=r"a.onnx: expected a graph that onnxruntime runs, found ") as error:
        open_graph(file, "fp32")
    assert "\n" not in str(error.value)
