"""A graph in the place of a detector: it detects in batches of images as ``Detector.detect`` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from detect.config import Precision
from detect.errors import UserError
from detect.inference.runtimes.description import GraphDescription, parse_description
from detect.inference.runtimes.sealed_files import ONNX, read_sealed
from detect.inference.runtimes.sessions import Compute, Run, open_onnx, open_openvino
from detect.models.detector import Detector
from detect.types import Detections, Images

INPUTS = ("image", "proposals")  # the second of a detector that does not make its own
_COMPUTE: Mapping[Precision, Compute] = {"fp32": "f32", "bf16": "bf16"}


class GraphDetector(nn.Module):
    """Detects by a graph: it has the ``detect`` of a ``Detector``, but no weights and no layers of its own.

    run: the graph in its library; outputs: the names of what it returns; needs_proposals: whether they come with the
    images; file: where the graph comes from, for messages.
    """

    def __init__(
        self, run: Run, outputs: tuple[str, ...], classes: tuple[str, ...], needs_proposals: bool, file: Path
    ) -> None:
        super().__init__()
        self.run = run
        self.outputs = outputs
        self.classes = classes
        self.needs_proposals = needs_proposals
        self.file = file

    @property
    def base_detector(self) -> Detector:
        """Raise UserError: a graph has no parts that could be asked or explained."""
        raise UserError(
            f"{self.file}: expected a model with layers, found a graph for detection alone: name the run folder or "
            "the checkpoint that it was exported from"
        )

    @torch.no_grad()
    def detect(self, images: Images) -> list[Detections]:
        """Return the detections of each image, in canvas pixels, best first; the graph runs on one image at a time."""
        return [self._detect_image(images, index) for index in range(len(images))]

    def _detect_image(self, images: Images, index: int) -> Detections:
        inputs = graph_inputs(images, index, self.needs_proposals)
        arrays = dict(zip(self.outputs, self.run(inputs), strict=True))
        count = int(arrays["count"])
        return Detections(
            boxes=_rows(arrays["boxes"], count),
            scores=_rows(arrays["scores"], count),
            labels=_rows(arrays["labels"], count),
            classes=self.classes,
            masks=_rows(arrays["masks"], count) if "masks" in arrays else None,
        )


def open_graph(file: Path, precision: Precision) -> tuple[GraphDetector, GraphDescription]:
    """Return the detector in a file of ``detect model export --to onnx`` or ``openvino``, and its description.

    It computes with as many threads as torch does. Raises UserError, which names the file, for another file, for one
    that is damaged, and for a precision in which its library does not compute.
    """
    content, weights = read_sealed(file)
    threads = torch.get_num_threads()
    if file.suffix == ONNX:
        if precision != "fp32":
            raise UserError(f"precision: expected fp32 for {file}, in which onnxruntime computes, found {precision}")
        graph = open_onnx(content, file, threads)
    else:
        if precision not in _COMPUTE:
            raise UserError(f"precision: expected {' or '.join(_COMPUTE)} for {file}, found {precision}")
        graph = open_openvino(content, weights, file, threads, _COMPUTE[precision])
    description = parse_description(graph.description, file)
    needs_proposals = description.config.model.uses_precomputed_proposals
    inputs = INPUTS if needs_proposals else INPUTS[:1]
    for ports, expected, names in (
        ("inputs", inputs, graph.inputs),
        ("outputs", description.outputs, graph.outputs),
    ):
        if names != expected:
            raise UserError(f"{file}: expected the {ports} {', '.join(expected)}, found {', '.join(names) or 'none'}")
    return GraphDetector(graph.run, description.outputs, description.classes, needs_proposals, file), description


def graph_inputs(images: Images, index: int, needs_proposals: bool) -> dict[str, np.ndarray]:
    """Return the inputs of a graph for one image of a batch, by name; the image is without its padding."""
    height, width = images.sizes[index]
    pixels = images.pixels[index : index + 1, :, :height, :width]
    inputs = {"image": pixels.contiguous(memory_format=torch.contiguous_format).numpy()}
    return inputs | {"proposals": _proposal_boxes(images, index).numpy()} if needs_proposals else inputs


def _proposal_boxes(images: Images, index: int) -> Tensor:
    """Return the proposals (P, 4) of an image; where it has none, one empty box, which no detector accepts."""
    if images.proposals is None:
        raise ValueError("Images.proposals: expected proposals for a detector that does not make its own, found None")
    boxes = images.proposals[index].boxes
    return boxes.float().contiguous() if len(boxes) else torch.zeros(1, 4)


def _rows(array: np.ndarray, count: int) -> Tensor:
    """Return the first ``count`` rows of an array; the others are padding."""
    return torch.from_numpy(array[:count].copy())
