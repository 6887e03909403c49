"""Why a box is there: how the detection came about, and which pixels made its score."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch

from detect.draw import encode_jpeg
from detect.errors import UserError
from detect.explain.attribution.heatmaps import overlay, peak_and_energy, reduce_channels, to_image_pixels
from detect.explain.attribution.methods import METHODS
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.attribution.target import TargetDetection, attribution_targets, target_detections
from detect.explain.trace.describe import describe_detections
from detect.explain.trace.trace import trace
from detect.explain.views import require_one_view
from detect.inference.predictor import Predictor
from detect.ops.preprocess import rescale_boxes
from detect.serve.limits import RequestError
from detect.types import Images, Size

_METHOD = "hirescam"  # cells that matter for the score: faithful for one detection, where Grad-CAM shows others too
_MAX_SIDE = 900  # pixels of the figure


def explain_box(predictor: Predictor, rgb: np.ndarray, rank: int) -> dict[str, Any]:
    """Return sentences, boxes and a figure on the detection of a rank (from 1, the best) of an image (H, W, 3) uint8.

    "sentences": how it came about; "proposal" and, with a region proposal network, "anchor": boxes in pixels of the
    image; "figure": a JPEG as data URI of what mattered for its score (HiResCAM), None in fp16, where gradients of
    pixels are 0. Raises RequestError 400 for a rank that the image does not have, and for a model with test-time
    augmentation, whose ranks are those of detections that are merged from several views.
    """
    try:
        require_one_view(predictor)
    except UserError as error:
        raise RequestError(400, str(error)) from error
    images = predictor.preprocess_image(rgb).to(predictor.compute.device)
    size = (rgb.shape[0], rgb.shape[1])
    with torch.no_grad(), predictor.compute.autocast():
        (traced,) = trace(predictor.base_detector, images)
    records = describe_detections(traced, predictor.base_detector)
    if not 1 <= rank <= len(records):
        raise RequestError(400, f"rank: expected 1 to {len(records)}, found {rank}")
    record = records[rank - 1]
    answer: dict[str, Any] = {
        "rank": rank,
        "label": record["name"],
        "score": record["score"],
        "proposal": _in_image(record["proposal"]["box"], images, size),
        "anchor": None if record["anchor"] is None else _in_image(record["anchor"]["box"], images, size),
        "sentences": _sentences(record),
        "figure": None,
    }
    if predictor.compute.dtype == torch.float16:
        return answer
    detection = next(each for each in target_detections(traced) if each.rank == rank)
    figure, sentence = _figure(predictor, rgb, images, detection)
    return answer | {"figure": figure, "sentences": [*answer["sentences"], sentence]}


def _in_image(box: list[float], images: Images, size: Size) -> list[float]:
    boxes: list[list[float]] = rescale_boxes(torch.tensor([box]), images.sizes[0], size).tolist()
    return boxes[0]


def _sentences(record: dict[str, Any]) -> list[str]:
    """Return how a detection came about, in the order in which it did."""
    sentences = []
    anchor, proposal, name = record["anchor"], record["proposal"], record["name"]
    if anchor is not None:
        sentences.append(
            f"It began as an anchor of {anchor['side']:.0f} pixels, one of {anchor['of']}, whose score as an object "
            f"ranked {anchor['rank_before_nms']} of {anchor['candidates']}; it suppressed {len(anchor['suppressed'])} "
            "others that overlapped it."
        )
    sentences.append(f"The network moved it to proposal {proposal['rank']} of {proposal['of']}.")
    scores = record["head"]["scores"]
    others = [score for label, score in enumerate(scores, 1) if label != record["label"]]
    second = f", the next best class {max(others):.2f}" if others else ""
    sentences.append(f"The head gave it {record['score']:.2f} for {name}{second}.")
    if record["suppressed"]:
        best = record["suppressed"][0]
        sentences.append(
            f"It suppressed {len(record['suppressed'])} other boxes of {name}, the best of which scored "
            f"{best['score']:.2f} and overlapped it by {best['iou']:.2f}."
        )
    else:
        sentences.append(f"No other box of {name} overlapped it enough to be suppressed.")
    return sentences


def _figure(predictor: Predictor, rgb: np.ndarray, images: Images, detection: TargetDetection) -> tuple[str, str]:
    """Return the image under the heat map of a detection as the data URI of a JPEG, and a sentence on it."""
    detector, size = predictor.base_detector, (rgb.shape[0], rgb.shape[1])
    (target,) = attribution_targets(detector, images, [detection], "score", predictor.compute.autocast)
    (heat,) = METHODS[_METHOD].explain(target, MethodOptions(no_progress))
    heatmap = to_image_pixels(reduce_channels(heat, "max"), target, images.sizes[0], size)
    box = rescale_boxes(detection.box[None].cpu(), images.sizes[0], size)[0].numpy()
    _, energy = peak_and_energy(heatmap, box)
    jpeg = base64.b64encode(encode_jpeg(overlay(rgb, heatmap), _MAX_SIDE)).decode()
    sentence = f"Of what raised its score, bright in the figure, {energy:.0%} lies in its box."
    return f"data:image/jpeg;base64,{jpeg}", sentence
