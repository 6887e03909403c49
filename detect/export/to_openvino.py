"""A graph of ONNX as one of OpenVINO: an XML text, and the weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from detect.errors import UserError, first_line
from detect.inference.runtimes.description import GraphDescription
from detect.inference.runtimes.sealed_files import DESCRIPTION_KEY
from detect.inference.runtimes.sessions import import_extra


def to_openvino(onnx_model: bytes, description: GraphDescription, label: str) -> tuple[bytes, bytes]:
    """Return the XML and the weights of OpenVINO, in float32, of a model of ``to_onnx``. Raises UserError."""
    return serialize(read_graph(onnx_model, label), description, label)


def read_graph(onnx_model: bytes, label: str) -> Any:
    """Return OpenVINO's model of an ONNX model. Raises UserError, which starts with ``label``.

    (``openvino.convert_model`` does the same, but reports each call to OpenVINO's makers.)
    """
    openvino = import_extra("openvino", label)
    try:
        return openvino.Core().read_model(onnx_model, b"")
    except Exception as error:
        raise UserError(f"{label}: expected a graph that OpenVINO reads, found {first_line(error)}") from None


def serialize(graph: Any, description: GraphDescription, label: str) -> tuple[bytes, bytes]:
    """Return the XML and the weights of OpenVINO's model, with the description in its metadata."""
    openvino = import_extra("openvino", label)
    graph.set_rt_info(description.to_json(), [DESCRIPTION_KEY])
    with tempfile.TemporaryDirectory() as folder:  # OpenVINO writes files alone
        file = Path(folder) / "graph.xml"
        openvino.save_model(graph, file, compress_to_fp16=False)
        return file.read_bytes(), file.with_suffix(".bin").read_bytes()
