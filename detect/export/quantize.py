"""Post-training quantization: the layers of a graph of OpenVINO compute in int8, by NNCF.

Convolutions, linear and transposed layers are quantized, weights by channel, and what lies between them on maps, such
as the sums of residual blocks. The first convolution, whose inputs have the finest differences, stays in float, and so
does all that decodes, pools, scores and suppresses: its tensors are lists of boxes, not maps.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detect.errors import UserError, first_line
from detect.inference.runtimes.sessions import import_extra

LAYER_TYPES = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})
MOVING_TYPES = frozenset({"Reshape", "Transpose", "MaxPool", "Concat", "Pad"})  # they only move numbers
_NO_OPERATION = frozenset({"Constant", "Parameter", "Result"})
_MAP_RANK = 4  # of (N, C, h, w)


@dataclass(frozen=True)
class LayerCount:
    """The number of layers with weights of a graph, and of those that compute in int8."""

    total: int
    int8: int


def quantize_graph(
    graph: Any, images: Sequence[Path], to_inputs: Callable[[Path], dict[str, np.ndarray]], label: str
) -> Any:
    """Return OpenVINO's model in int8, by what its layers return for images; ``to_inputs``: its inputs of each.

    Raises UserError, which starts with ``label``, without NNCF, without images, and where NNCF fails.
    """
    if not images:
        raise UserError(f"{label}: expected at least one photo to calibrate with, found none")
    os.environ.setdefault("NNCF_CI", "1")  # NNCF would report its use to its makers
    nncf = import_extra("nncf", label)
    nncf.set_log_level(logging.ERROR)
    ignored = nncf.IgnoredScope(names=float_operations(graph), validate=False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # bars of progress
            return nncf.quantize(
                graph,
                nncf.Dataset(list(images), to_inputs),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(images),
                ignored_scope=ignored,
            )
    except RuntimeError as error:
        raise UserError(f"{label}: expected a graph that NNCF quantizes, found {first_line(error)}") from None


def count_layers(graph: Any) -> LayerCount:
    """Return how many layers OpenVINO's model has, and how many of them compute in int8."""
    layers = _layers(graph)
    return LayerCount(total=len(layers), int8=sum(map(_is_int8, layers)))


def float_operations(graph: Any) -> list[str]:
    """Return the names of the operations that stay in float: the first convolution, and those that read no maps."""
    first = next(layer.get_friendly_name() for layer in _layers(graph))
    others = [
        operation.get_friendly_name()
        for operation in graph.get_ordered_ops()
        if operation.get_type_name() not in LAYER_TYPES | _NO_OPERATION and not _returns_map(operation)
    ]
    return [first, *others]


def _layers(graph: Any) -> list[Any]:
    """Return the layers with weights, in the order in which they run."""
    return [operation for operation in graph.get_ordered_ops() if operation.get_type_name() in LAYER_TYPES]


def _returns_map(operation: Any) -> bool:
    rank = operation.output(0).get_partial_shape().rank
    return bool(rank.is_static and rank.get_length() == _MAP_RANK)


def _is_int8(layer: Any) -> bool:
    """Return whether a layer reads quantized numbers, also through operations that only move them."""
    source = layer.input_value(0).get_node()
    while source.get_type_name() in MOVING_TYPES:
        source = source.input_value(0).get_node()
    return str(source.get_type_name()) == "FakeQuantize"
