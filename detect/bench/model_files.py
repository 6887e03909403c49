"""A detector in a file for each runtime: a checkpoint for torch, graphs for onnxruntime and OpenVINO, one in int8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config import Precision
from detect.export.export_graph import make_graph
from detect.export.quantize import quantize_graph
from detect.export.quantize_model import photo_inputs
from detect.export.to_onnx import to_onnx
from detect.export.to_openvino import read_graph, serialize
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.inference.runtimes.sealed_files import ONNX, write_sealed
from detect.system.packages import has_package

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
EXPORTER = ("onnx", "onnxscript")
PACKAGES: Mapping[str, tuple[str, ...]] = {  # of each runtime, beside those of the exporter
    "onnxruntime": ("onnxruntime",),
    "OpenVINO": ("openvino",),
    "OpenVINO int8": ("openvino", "nncf"),
}


@dataclass(frozen=True)
class ModelFile:
    """A MODEL in a file, the precision in which it is loaded, and the name of its row in a table."""

    name: str
    file: Path
    precision: Precision

    def load(self) -> Predictor:
        """Load the model on the CPU."""
        return load(self.file, "cpu", self.precision)


def named_files(models: Sequence[Path], names: Sequence[str]) -> list[ModelFile]:
    """Return each model in float32 and in bf16, but onnxruntime's, which it runs in float32, only in that."""
    return [
        ModelFile(f"{name}, {precision}", file, precision)
        for file, name in zip(models, names, strict=True)
        for precision in (PRECISIONS[:1] if file.suffix == ONNX else PRECISIONS)
    ]


@contextmanager
def files_of_runtimes(checkpoint: Checkpoint, photos: Sequence[Path]) -> Iterator[list[ModelFile]]:
    """Yield a detector as a checkpoint and as graphs of those runtimes that are installed, and delete the files.

    photos: those that set the ranges of int8.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.pt"
        save_checkpoint(checkpoint, file)
        yield [*named_files([file], ["detect"]), *_write_graphs(load(file, "cpu"), photos, Path(folder))]


def _write_graphs(predictor: Predictor, photos: Sequence[Path], folder: Path) -> list[ModelFile]:
    """Write the graphs of the runtimes that are installed."""
    runtimes = {name for name, packages in PACKAGES.items() if all(map(has_package, (*EXPORTER, *packages)))}
    if not runtimes:
        return []
    (graph, description), files = make_graph(predictor), list[ModelFile]()
    onnx_model = to_onnx(graph, description, "bench")
    if "onnxruntime" in runtimes:
        write_sealed(folder / "model.onnx", onnx_model)
        files += named_files([folder / "model.onnx"], ["onnxruntime"])
    if "OpenVINO" in runtimes:
        write_sealed(folder / "model.xml", *serialize(read_graph(onnx_model, "bench"), description, "bench"))
        files += named_files([folder / "model.xml"], ["OpenVINO"])
    if "OpenVINO int8" in runtimes:
        to_inputs = partial(photo_inputs, predictor, graph.needs_proposals)
        quantized = quantize_graph(read_graph(onnx_model, "bench"), photos, to_inputs, "bench")
        write_sealed(folder / "int8.xml", *serialize(quantized, replace(description, weights="int8"), "bench"))
        files.append(ModelFile("OpenVINO, int8", folder / "int8.xml", "fp32"))
    return files
