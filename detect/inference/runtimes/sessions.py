"""Graphs in the libraries that run them: arrays by the names of inputs in, arrays in the order of the outputs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from detect.errors import UserError, first_line
from detect.inference.runtimes.sealed_files import DESCRIPTION_KEY
from detect.system.packages import import_package

Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]
Compute = Literal["f32", "bf16"]

EXTRA = "'detect-rcnn[export]'"  # the distribution that has them
ERRORS_ONLY = 3  # the lowest level of onnxruntime's messages: it warns of every shape that depends on numbers


@dataclass(frozen=True)
class OpenedGraph:
    """A graph in its library: the function that runs it, its description, and the names of its inputs and outputs."""

    run: Run
    description: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def import_extra(name: str, label: str) -> Any:
    """Return a module of the extra ``export``. Raises UserError, which starts with ``label``, where it lacks."""
    return import_package(name, label, EXTRA)


def open_onnx(content: bytes, file: Path, threads: int) -> OpenedGraph:
    """Open an ONNX graph on the CPU. Raises UserError.

    No operators of other libraries are registered, so that nothing in the file is run but ONNX's own.
    """
    onnxruntime = import_extra("onnxruntime", str(file))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(f"{file}: expected a graph that onnxruntime runs, found {first_line(error)}") from None
    description = session.get_modelmeta().custom_metadata_map.get(DESCRIPTION_KEY)
    inputs, names = ([entry.name for entry in entries] for entries in (session.get_inputs(), session.get_outputs()))

    def run(arrays: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        return [np.asarray(array) for array in session.run(names, dict(arrays))]

    return OpenedGraph(run=run, description=description, inputs=tuple(inputs), outputs=tuple(names))


def open_openvino(content: bytes, weights: bytes, file: Path, threads: int, compute: Compute = "f32") -> OpenedGraph:
    """Open a graph of OpenVINO on the CPU. Raises UserError.

    compute: the numbers in which layers that are not quantized compute. OpenVINO takes bf16 by itself where the
    processor has it; f32 is what the weights are.
    """
    openvino = import_extra("openvino", str(file))
    hints = {"INFERENCE_PRECISION_HINT": compute, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    try:
        core = openvino.Core()
        graph = core.read_model(content, weights)
        compiled = core.compile_model(graph, "CPU", hints)
    except Exception as error:
        raise UserError(f"{file}: expected a graph that OpenVINO runs, found {first_line(error)}") from None
    description = str(graph.get_rt_info([DESCRIPTION_KEY]).value) if graph.has_rt_info([DESCRIPTION_KEY]) else None
    outputs = compiled.outputs

    def run(inputs: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        arrays = compiled(dict(inputs))
        return [np.array(arrays[output]) for output in outputs]  # copies: the next run writes into the same memory

    inputs, names = (tuple(port.any_name for port in ports) for ports in (compiled.inputs, outputs))
    return OpenedGraph(run=run, description=description, inputs=inputs, outputs=names)
