"""A detector as a graph of ONNX, by torch's exporter."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from detect.errors import UserError, first_line
from detect.inference.runtimes.description import GraphDescription
from detect.inference.runtimes.graph_detector import INPUTS
from detect.inference.runtimes.sealed_files import DESCRIPTION_KEY
from detect.inference.runtimes.sessions import import_extra
from detect.models.graph.detection_graph import DetectionGraph
from detect.ops.grouped_nms import NO_SCORE

OPSET = 18
MAX_BYTES = 2**31 - 1  # of a message of protobuf
EXAMPLE_SIZE = (483, 611)  # pixels; of no importance, but no multiple of a stride, which the exporter could generalize
EXAMPLE_PROPOSALS = 37


def to_onnx(graph: DetectionGraph, description: GraphDescription, label: str) -> bytes:
    """Return the bytes of an ONNX model whose inputs are those of ``graph``; height, width and proposals are free.

    Raises UserError, which starts with ``label``, for a detector that cannot be exported.
    """
    for name in ("onnx", "onnxscript"):
        import_extra(name, label)
    inputs, dynamic = example_inputs(graph)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter warns of its own parts
            program = torch.export.export(graph.eval(), inputs, dynamic_shapes=dynamic)
            exported = torch.onnx.export(
                program,
                inputs,
                input_names=INPUTS[: len(inputs)],
                output_names=graph.outputs,
                opset_version=OPSET,
                custom_translation_table=_translations(),
                verbose=False,
            )
    except ValueError as error:  # of the parts of the graph
        raise UserError(f"{label}: {first_line(error)}") from None
    except RuntimeError as error:  # of torch's exporter, which has one for each kind of trouble
        raise UserError(f"{label}: expected layers that torch exports, found {first_line(error)}") from error
    assert exported is not None
    model = exported.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = DESCRIPTION_KEY, description.to_json()
    size = model.ByteSize()
    if size > MAX_BYTES:
        raise UserError(f"{label}: expected a model of at most {MAX_BYTES} bytes, which ONNX allows, found {size}")
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def example_inputs(graph: DetectionGraph) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
    """Return inputs from which the shapes of the graph are traced, and which of their sides are free."""
    free = torch.export.Dim.DYNAMIC
    image, sides = torch.zeros(1, 3, *EXAMPLE_SIZE), {2: free, 3: free}
    if not graph.needs_proposals:
        return (image,), (sides,)
    corners = torch.arange(EXAMPLE_PROPOSALS * 2).view(-1, 2).float()
    return (image, torch.cat([corners, corners + 100], 1)), (sides, {0: free})


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return how operators are written that torch's exporter does not know, or knows in another form."""
    from onnxscript import opset18 as op

    def grouped_nms(boxes: Any, scores: Any, threshold: float, max_per_group: int) -> Any:
        selected = op.NonMaxSuppression(boxes, op.Unsqueeze(scores, [1]), max_per_group, threshold, NO_SCORE)
        return op.Gather(selected, [0, 2], axis=1)  # of group, class and box; a group is an image of ONNX

    def roi_pool(features: Any, rows: Any, spatial_scale: float, height: int, width: int) -> tuple[Any, Any]:
        pooled = op.MaxRoiPool(features, rows, pooled_shape=(height, width), spatial_scale=spatial_scale)
        return pooled, pooled  # in place of the cells of the maxima, which only a gradient needs

    return {
        torch.ops.detect.grouped_nms.default: grouped_nms,
        torch.ops.torchvision.roi_pool.default: roi_pool,
    }
