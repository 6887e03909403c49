"""Explains the detections of images: writes figures, raw heat maps and an image grid."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detect.data.image_names import relative_to_shared_folder
from detect.data.images import read_image
from detect.draw import image_grid, save_image
from detect.errors import UnreadableImage, UserError
from detect.explain.attribution.heatmaps import (
    Reduce,
    explanation_figure,
    peak_and_energy,
    reduce_channels,
    to_image_pixels,
)
from detect.explain.attribution.methods import ALL_METHODS
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import (
    AttributionTarget,
    Quantity,
    TargetDetection,
    attribution_targets,
    target_detections,
)
from detect.explain.trace.trace import trace
from detect.explain.views import require_whole_images
from detect.inference.predictor import Predictor
from detect.models.layer_hooks import find_layer, stage_names
from detect.ops.preprocess import rescale_boxes
from detect.proposals.lookups import BoxesAndScores, ProposalsFromFiles
from detect.system.files import write_bytes

COLUMNS = 3  # of the image grid


@dataclass(frozen=True)
class DetectionQuery:
    """Which detections of an image to explain, and how.

    method: a name in ALL_METHODS; quantity: what is explained of a detection; reduce: see ``heatmaps.reduce_channels``.
    The detections have at least ``score`` and one of the ``labels``, and there are at most ``max_detections``; with a
    ``rank`` only the detection of that rank (from 1) is explained, at any score.
    """

    method: str
    quantity: Quantity
    reduce: Reduce
    score: float
    max_detections: int
    labels: frozenset[int]
    rank: int | None = None

    @property
    def stem(self) -> str:
        """Return the text that the names of the files begin with."""
        return self.method if self.quantity == "score" else f"{self.method}-{self.quantity}"


@dataclass(frozen=True)
class ExplainedImages:
    """How many images got a figure, and a line for each image that could not be read."""

    num_explained: int
    unreadable: tuple[str, ...]


def explain_images(
    predictor: Predictor,
    images: Sequence[Path],
    out: Path,
    query: DetectionQuery,
    options: MethodOptions,
    proposals: ProposalsFromFiles | None,
    log: Callable[[str], None],
) -> ExplainedImages:
    """Write a folder below ``out`` for each image with a detection to explain, and log a line for each detection.

    Raises UserError for a layer that the network does not have, an edge of boxes that are not regressed, gradients in
    fp16, or a model with test-time augmentation or slices.
    """
    require_whole_images(predictor)
    if ALL_METHODS[query.method].needs_gradients and predictor.compute.dtype == torch.float16:
        raise UserError(
            f"--precision: expected fp32 or bf16 with --method {query.method}, found fp16, in which small gradients of "
            "pixels become 0"
        )
    if query.quantity != "score" and not predictor.base_detector.postprocess.apply_deltas:
        raise UserError(
            f"--target {query.quantity}: expected boxes that are regressed, found "
            "model.postprocess.box_regression=false, with which a detection's box is its proposal"
        )
    num_explained, unreadable = 0, []
    for image, name in zip(images, relative_to_shared_folder([str(image) for image in images]), strict=True):
        try:
            rgb = read_image(image)
        except UnreadableImage as error:
            unreadable.append(str(error))
        else:
            image_proposals = None if proposals is None else proposals[str(image)]
            num_explained += _explain_image(predictor, rgb, out / name, query, options, image_proposals, log) > 0
    return ExplainedImages(num_explained=num_explained, unreadable=tuple(unreadable))


def _explain_image(
    predictor: Predictor,
    rgb: np.ndarray,
    folder: Path,
    query: DetectionQuery,
    options: MethodOptions,
    proposals: BoxesAndScores | None,
    log: Callable[[str], None],
) -> int:
    """Return the number of detections that were explained: each has a figure and a map."""
    images = predictor.preprocess_image(rgb, proposals).to(predictor.compute.device)
    with torch.no_grad(), predictor.compute.autocast():  # gradients cannot use tensors of the inference mode
        (traced,) = trace(predictor.base_detector, images)
    detections = target_detections(traced)
    selected = select_detections(detections, query)
    if not selected:
        log(f"{folder.name}: no detection to explain, {why_none(detections, query)}")
    size, figures = (rgb.shape[0], rgb.shape[1]), []
    autocast = predictor.compute.autocast
    for target in attribution_targets(predictor.base_detector, images, selected, query.quantity, autocast):
        heats = ALL_METHODS[query.method].explain(target, options)
        for detection, heat in zip(target.detections, heats, strict=True):
            heatmap = to_image_pixels(reduce_channels(heat, query.reduce), target, images.sizes[0], size)
            boxes = torch.stack([detection.box, detection.proposal]).cpu()
            boxes_in_image = rescale_boxes(boxes, images.sizes[0], size).numpy()
            name = predictor.classes[detection.label - 1]
            summary = _describe_heatmap(heatmap, boxes_in_image[0])
            log(f"{folder.name} {detection.rank}: {name} {detection.score:.2f}: {summary}")
            text = caption(query, options, target)
            names = (f"{name} {detection.score:.2f}", "proposal")
            figures.append(explanation_figure(rgb, heatmap, boxes_in_image, names, text))
            save_image(folder / f"{query.stem}-{detection.rank:03}.png", figures[-1])
            write_bytes(folder / f"{query.stem}-{detection.rank:03}.npy", npy_bytes(heatmap))
    if figures:
        save_image(folder / f"{query.stem}.png", image_grid(figures, COLUMNS))
    return len(figures)


def select_detections(detections: Sequence[TargetDetection], query: DetectionQuery) -> list[TargetDetection]:
    """Return the detections that the query asks for, in their order."""
    if query.rank is not None:
        return [detection for detection in detections if detection.rank == query.rank]
    selected = [
        detection for detection in detections if detection.score >= query.score and detection.label in query.labels
    ]
    return selected[: query.max_detections]


def why_none(detections: Sequence[TargetDetection], query: DetectionQuery) -> str:
    """Return why the query selects no detection, and what would select one."""
    if not detections:
        return "the model finds none"
    if query.rank is not None:
        return f"--rank: expected 1 to {len(detections)}, found {query.rank}"
    scores = [detection.score for detection in detections if detection.label in query.labels]
    if not scores:
        return f"the {len(detections)} detections are of other classes"
    if max(scores) >= query.score:
        return f"--max-detections is {query.max_detections}"
    return f"the highest score is {max(scores):.2f}"


def caption(query: DetectionQuery, options: MethodOptions, target: AttributionTarget) -> str:
    """Return the sentences that say what a figure shows, and what it does not show."""
    method, network = ALL_METHODS[query.method], target.network
    what = "the score" if query.quantity == "score" else f"edge {query.quantity}"
    name = find_layer(network, options.layer)[0] if method.needs_layer else None
    sentences = [
        f"{query.method}{f' at {name}' if name else ''}: {method.description.format(what=what)}.",
        "The proposal is pinned.",
    ]
    if name is not None and network.pools_last_stage and name.startswith(stage_names(network)[-1]):
        sentences.append("Regions are pooled from this map: gradients reach it only inside the proposal.")
    if network.input_size is not None:
        sentences.append("R-CNN reads a warped crop: its pixels are mapped back to the image.")
    return " ".join(sentences)


def npy_bytes(values: np.ndarray) -> bytes:
    """Return the content of a .npy file with these values."""
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()


def _describe_heatmap(heat: np.ndarray, box: np.ndarray) -> str:
    if not heat.any():
        return "the map is 0 everywhere"
    (x, y), energy = peak_and_energy(heat, box)
    return f"maximum at x {x}, y {y}; {energy:.0%} of the values above 0 lie in its box"
