"""Images in, explanations of their detections out: overlays, raw maps, a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detect.data.image_names import relative_to_shared_folder
from detect.data.images import UnreadableImage, read_image
from detect.draw import image_grid, save_image
from detect.errors import UserError
from detect.explain.attribution.heatmaps import Reduce, explanation_figure, to_image_pixels, peak_and_energy, reduce_channels
from detect.explain.attribution.methods import METHODS
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import Quantity, TargetDetection, AttributionTarget, target_detections, attribution_targets
from detect.explain.trace.trace import trace
from detect.inference.predictor import Predictor
from detect.models.backbones.network import StagedBody
from detect.models.layer_hooks import find_layer, stage_names
from detect.models.regions.warped_crops import WarpedCrops
from detect.ops.preprocess import rescale_boxes
from detect.proposals.lookups import BoxesAndScores, ProposalsFromFile
from detect.system.files import write_bytes

COLUMNS = 3  # of a contact sheet


@dataclass(frozen=True)
class DetectionQuery:
    """Which detections: of at least ``score`` and of ``labels``, at most ``most``, or the one of rank ``number`` alone;
    of: what about them; reduce: see ``heatmaps.reduced``.
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
        """How its files begin."""
        return self.method if self.quantity == "score" else f"{self.method}-{self.quantity}"


def explain_images(
    predictor: Predictor,
    images: Sequence[Path],
    out: Path,
    question: DetectionQuery,
    choice: MethodOptions,
    given: ProposalsFromFile | None,
    say: Callable[[str], None],
) -> tuple[str, ...]:
    """A folder below ``out`` for each image, a line for each detection; returns a line for each unreadable image.

    Raises UserError for a layer or an edge that the detector has not.
    """
    if question.quantity != "score" and not predictor.base_detector.postprocess.apply_deltas:
        raise UserError(
            f"--of {question.quantity}: expected boxes that are regressed, found model.postprocess.box_regression=false, with which "
            "a detection's box is its proposal"
        )
    unreadable = []
    for image, name in zip(images, relative_to_shared_folder([str(image) for image in images]), strict=True):
        try:
            rgb = read_image(image)
        except UnreadableImage as error:
            unreadable.append(str(error))
        else:
            _explain_image(
                predictor, rgb, out / name, question, choice, None if given is None else given[str(image)], say
            )
    return tuple(unreadable)


def _explain_image(
    predictor: Predictor,
    rgb: np.ndarray,
    folder: Path,
    question: DetectionQuery,
    choice: MethodOptions,
    given: BoxesAndScores | None,
    say: Callable[[str], None],
) -> None:
    images = predictor.preprocess_image(rgb, given).to(predictor.compute.device)
    with torch.no_grad(), predictor.compute.autocast():  # what inference mode makes no gradient may use
        (traced,) = trace(predictor.base_detector, images)
    found = target_detections(traced)
    pinned = select_detections(found, question)
    if not pinned:
        say(f"{folder.name}: no detection to explain, {why_none(found, question)}")
    size, pictures = (rgb.shape[0], rgb.shape[1]), []
    for view in attribution_targets(predictor.base_detector, images, pinned, question.quantity):
        with predictor.compute.autocast():
            heats = METHODS[question.method].explain(view, choice)
        for one, heat in zip(view.detections, heats, strict=True):
            placed = to_image_pixels(reduce_channels(heat, question.reduce), view, images.sizes[0], size)
            boxes = rescale_boxes(torch.stack([one.box, one.proposal]).cpu(), images.sizes[0], size).numpy()
            name = predictor.classes[one.label - 1]
            say(f"{folder.name} {one.rank}: {name} {one.score:.2f}: {_describe_heatmap(placed, boxes[0])}")
            text = caption(question, choice, view)
            pictures.append(explanation_figure(rgb, placed, boxes, (f"{name} {one.score:.2f}", "proposal"), text))
            save_image(folder / f"{question.stem}-{one.rank:03}.png", pictures[-1])
            write_bytes(folder / f"{question.stem}-{one.rank:03}.npy", npy_bytes(placed))
    if pictures:
        save_image(folder / f"{question.stem}.png", image_grid(pictures, COLUMNS))


def select_detections(pinned: Sequence[TargetDetection], question: DetectionQuery) -> list[TargetDetection]:
    """Those that the question is about."""
    if question.rank is not None:
        return [one for one in pinned if one.rank == question.rank]
    asked = [one for one in pinned if one.score >= question.score and one.label in question.labels]
    return asked[: question.max_detections]


def why_none(pinned: Sequence[TargetDetection], question: DetectionQuery) -> str:
    """Why none was chosen, and what would be."""
    if not pinned:
        return "the model finds none"
    if question.rank is not None:
        return f"--number: expected 1 to {len(pinned)}, found {question.rank}"
    scores = [one.score for one in pinned if one.label in question.labels]
    if not scores:
        return f"the {len(pinned)} found are of other classes"
    return f"--most is {question.max_detections}" if max(scores) >= question.score else f"the best scores {max(scores):.2f}"


def caption(question: DetectionQuery, choice: MethodOptions, view: AttributionTarget) -> str:
    """What a picture shows, and what it does not."""
    method, network = METHODS[question.method], view.network
    what = "the score" if question.quantity == "score" else f"edge {question.quantity}"
    name = find_layer(network, choice.layer)[0] if method.needs_layer else None
    told = [
        f"{question.method}{f' at {name}' if name else ''}: {method.description.format(what=what)}.",
        "The proposal is pinned.",
    ]
    if name is not None and isinstance(network, StagedBody) and name.startswith(stage_names(network)[-1]):
        told.append("Regions are pooled from this map: gradients reach it inside the proposal alone.")
    if isinstance(network, WarpedCrops):
        told.append("R-CNN reads a warped crop: its pixels are laid back.")
    return " ".join(told)


def npy_bytes(values: np.ndarray) -> bytes:
    """As a .npy file."""
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()


def _describe_heatmap(heat: np.ndarray, box: np.ndarray) -> str:
    if not heat.any():
        return "the map is 0 everywhere"
    (x, y), share = peak_and_energy(heat, box)
    return f"highest at x {x}, y {y}; {share:.0%} of what is above 0 lies in its box"
