"""Layers of a graph in int8 that go back to float: those that change the most of what the model detects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detect.export.quantize import LAYER_TYPES, MOVING_TYPES
from detect.inference.runtimes.sessions import import_extra
from detect.ops import boxes as box_ops
from detect.types import Detections


@dataclass(frozen=True)
class LayerCost:
    """A layer by the name of its module, and what int8 in it alone costs of ``similarity``, 0..1, beside all others."""

    name: str
    cost: float


@dataclass(frozen=True)
class FloatChoice:
    """The layers that go back to float, the most costly first, and how much less accurate the graph then still is."""

    layers: tuple[LayerCost, ...]
    drop: float


def choose_float_layers(
    names: Sequence[str],
    similarity: Callable[[Collection[str]], float],
    drop: Callable[[Collection[str]], float],
    max_drop: float,
) -> FloatChoice:
    """Return the layers that go back to float; none if int8 in all drops ``max_drop`` at most.

    similarity, drop: of the graph with some layers in float: how much of the model's detections it has, and how much
    less accurate it is. Layers are ranked by what each alone gives back; their number doubles until the drop is met,
    or until all that give something back are in float.
    """
    remaining = drop(())
    if remaining <= max_drop:
        return FloatChoice(layers=(), drop=remaining)
    start = similarity(())
    costs = sorted(
        (LayerCost(name, similarity((name,)) - start) for name in names), key=lambda layer: layer.cost, reverse=True
    )
    costs = [layer for layer in costs if layer.cost > 0]
    count = 0
    while count < len(costs) and remaining > max_drop:
        count = min(max(2 * count, 1), len(costs))
        remaining = drop([layer.name for layer in costs[:count]])
    return FloatChoice(layers=tuple(costs[:count]), drop=remaining)


def similarity(expected: Detections, detections: Detections) -> float:
    """Return how much of the expected detections there is, 0..1: of each, weighted by its score, the largest IoU with
    a detection of its class, times 1 - the difference of their scores. 1 where nothing is expected.
    """
    total = float(expected.scores.sum())
    if not total or not len(detections):
        return float(not total)
    likeness = box_ops.iou(expected.boxes.float(), detections.boxes.float())
    likeness = likeness * (1 - (expected.scores[:, None] - detections.scores).abs())
    likeness = likeness * (expected.labels[:, None] == detections.labels)
    return float((likeness.amax(1) * expected.scores).sum()) / total


def weight_names(graph: Any) -> dict[str, list[str]]:
    """Return the operations of each layer of OpenVINO's float model, by the name of the layer's module.

    A module that runs several times, as an RPN on a pyramid, is several operations. Those whose weights are computed,
    not stored, are left out.
    """
    operations: dict[str, list[str]] = {}
    for operation in graph.get_ordered_ops():
        if operation.get_type_name() in LAYER_TYPES:
            weights = _weights(operation)
            if weights is not None:
                name = weights.get_friendly_name().removeprefix("detector.").removesuffix(".weight")
                operations.setdefault(name, []).append(operation.get_friendly_name())
    return operations


def with_float_layers(quantized: Any, graph: Any, operations: Collection[str]) -> Any:
    """Return a copy of OpenVINO's model in int8 in which some operations have the weights of its float model ``graph``.

    They read the numbers that others had rounded for them before.
    """
    openvino = import_extra("openvino", "int8")
    mixed, originals = quantized.clone(), {node.get_friendly_name(): node for node in graph.get_ops()}
    for layer in mixed.get_ordered_ops():
        name = layer.get_friendly_name()
        if name not in operations:
            continue
        weights: Any = _weights(originals[name])  # there is one, as in ``weight_names``
        shape = list(originals[name].input(1).get_shape())
        constant = openvino.op.Constant(np.ascontiguousarray(weights.data.reshape(shape)))
        layer.input(1).replace_source_output(constant.output(0))
        reader = layer.input(0)
        while reader.get_source_output().get_node().get_type_name() in MOVING_TYPES:
            reader = reader.get_source_output().get_node().input(0)
        source = reader.get_source_output().get_node()
        if source.get_type_name() == "FakeQuantize":
            reader.replace_source_output(source.input_value(0))
    mixed.validate_nodes_and_infer_types()
    return mixed


def _weights(layer: Any) -> Any | None:
    """Return the constant of a layer's weights, through changes of its shape; None if they are computed."""
    source = layer.input_value(1).get_node()
    while source.get_type_name() == "Reshape":
        source = source.input_value(0).get_node()
    return source if source.get_type_name() == "Constant" else None
