"""``detect model export --to onnx`` and ``--to openvino``: from a model to a file that was seen to detect the same."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detect.errors import RunError, UserError
from detect.export.check import MIN_AGREEMENT, GraphCheck, check_graph
from detect.export.to_onnx import to_onnx
from detect.export.to_openvino import to_openvino
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.inference.runtimes.description import GraphDescription
from detect.inference.runtimes.sealed_files import ONNX, OPENVINO, write_sealed
from detect.models.graph.detection_graph import DetectionGraph

GraphTarget = Literal["onnx", "openvino"]
PACKAGED_PHOTOS = Path(__file__).parent / "photos"
CHECKOUT_PHOTOS = Path(__file__).parents[2] / "data" / "photos"
SUFFIX_OF: dict[GraphTarget, str] = {"onnx": ONNX, "openvino": OPENVINO}


@dataclass(frozen=True)
class ExportedGraph:
    """What was written: the size in bytes, the number of classes, and the comparison with the model."""

    size: int
    num_classes: int
    check: GraphCheck


def export_graph(model: Path, out: Path, target: GraphTarget, images: Sequence[Path]) -> ExportedGraph:
    """Write MODEL as a graph of ``target``, run it on images and compare its detections with the model's.

    Raises UserError for a name without the target's suffix, for a model that cannot be a graph and without images, and
    RunError, with nothing written, if fewer than MIN_AGREEMENT of the detections are the same or there are none at all.
    """
    suffix = SUFFIX_OF[target]
    if out.suffix != suffix:
        raise UserError(f"{out}: expected a name that ends in {suffix}, found {out.name}")
    if not images:
        raise UserError("--check: expected at least one photo, found none")
    predictor = load(model, "cpu")
    graph, description = make_graph(predictor)
    label = str(model)
    onnx_model = to_onnx(graph, description, label)
    content = (onnx_model,) if target == "onnx" else to_openvino(onnx_model, description, label)
    with tempfile.TemporaryDirectory() as folder:  # so that a file of this name stays until there is a better one
        unchecked = Path(folder) / f"graph{suffix}"
        write_sealed(unchecked, *content)
        check = check_graph(predictor, load(unchecked, "cpu"), images)
    _require_same(check, out)
    size = write_sealed(out, *content)
    return ExportedGraph(size=size, num_classes=len(predictor.classes), check=check)


def packaged_photos() -> list[Path]:
    """Return the photos that come with the package, or those of the checkout."""
    folder = PACKAGED_PHOTOS if PACKAGED_PHOTOS.is_dir() else CHECKOUT_PHOTOS
    return sorted(folder.glob("*.jpg"))


def make_graph(predictor: Predictor) -> tuple[DetectionGraph, GraphDescription]:
    """Return the graph of a loaded model, and its description. Raises UserError for test-time augmentation."""
    detector = predictor.base_detector
    if detector is not predictor.detector:
        raise UserError(
            f"model.test_time: expected one view of each image for a graph, found several in {predictor.file}"
        )
    graph = DetectionGraph(detector, predictor.preprocess.divisor)
    description = GraphDescription(
        config=predictor.config, classes=predictor.classes, preprocess=predictor.preprocess, outputs=graph.outputs
    )
    return graph, description


def _require_same(check: GraphCheck, out: Path) -> None:
    """Raise RunError unless the detections are the same, and enough that this says something."""
    if not check.num_expected:
        raise RunError(
            f"{out}: expected detections to compare, found none in {check.num_images} images: name photos with objects "
            "of the model's classes by --check; nothing is written"
        )
    if not check.passes:
        raise RunError(f"{out}: expected {MIN_AGREEMENT:.0%} of the same detections, found {check}; nothing is written")
