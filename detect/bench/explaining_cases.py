"""The cases that explanations are measured on: detections that match an object with a mask; and two baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detect.bench.masked_images import MaskedImage
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import (
    AttributionTarget,
    TargetDetection,
    attribution_targets,
    target_detections,
)
from detect.explain.trace.trace import trace
from detect.inference.predictor import Predictor
from detect.ops import boxes as box_ops
from detect.ops.preprocess import rescale_boxes
from detect.types import Images, Size

MATCH_IOU = 0.5  # minimum IoU of a detection and the object that it matches


@dataclass(frozen=True)
class ExplanationCase:
    """A detection that matches an object with a mask.

    target and index: the attribution target of the detection and its index there; mask: (H, W) bool of its object, and
    box: (4,) in the image's pixels; other_masks: (H, W) bool, the union of the masks of the other objects of the class;
    all_others: the same of all other objects of the image, of any class, and other_boxes: (N, 4), their boxes.
    """

    target: AttributionTarget
    index: int
    mask: np.ndarray
    box: np.ndarray
    other_masks: np.ndarray
    all_others: np.ndarray
    other_boxes: np.ndarray


def make_cases(predictor: Predictor, masked: MaskedImage, images: Images, score: float) -> list[ExplanationCase]:
    """Return a case for each detection of at least ``score`` in an image that matches an object of its class."""
    with torch.no_grad(), predictor.compute.autocast():
        (traced,) = trace(predictor.base_detector, images)
    detections = [detection for detection in target_detections(traced) if detection.score >= score]
    object_of_rank = {
        detection.rank: index
        for detection in detections
        if (index := _match_object(predictor, masked, detection, images.sizes[0])) is not None
    }
    matched = [detection for detection in detections if detection.rank in object_of_rank]
    cases, autocast = [], predictor.compute.autocast
    for target in attribution_targets(predictor.base_detector, images, matched, "score", autocast):
        for i, detection in enumerate(target.detections):
            cases.append(_make_case(target, i, masked, object_of_rank[detection.rank]))
    return cases


def _make_case(target: AttributionTarget, index: int, masked: MaskedImage, object_index: int) -> ExplanationCase:
    """Return the case of a detection and its object, with the objects that its map should leave out."""
    others = [other for other in range(len(masked.masks)) if other != object_index]
    same_class = [other for other in others if masked.names[other] == masked.names[object_index]]
    mask = masked.masks[object_index]
    nothing = np.zeros(mask.shape, bool)
    return ExplanationCase(
        target=target,
        index=index,
        mask=mask,
        box=masked.boxes[object_index],
        other_masks=np.any([nothing, *(masked.masks[other] for other in same_class)], axis=0),
        all_others=np.any([nothing, *(masked.masks[other] for other in others)], axis=0),
        other_boxes=masked.boxes[others],
    )


def _match_object(predictor: Predictor, masked: MaskedImage, detection: TargetDetection, canvas: Size) -> int | None:
    """Return the index of the object of its class that a detection overlaps most; None below MATCH_IOU."""
    if not masked.masks:
        return None
    height, width = masked.masks[0].shape
    box = rescale_boxes(detection.box[None].cpu().double(), canvas, (height, width))
    overlaps = box_ops.iou(box, torch.from_numpy(masked.boxes))[0].numpy()
    overlaps[[name != predictor.classes[detection.label - 1] for name in masked.names]] = 0
    best = int(overlaps.argmax())
    return best if overlaps[best] >= MATCH_IOU else None


def flat_box(target: AttributionTarget, _: MethodOptions) -> Tensor:
    """Return the first baseline: 1 in the detection's box, 0 elsewhere. (D, 1, H, W)."""
    return _filled_boxes(target, shrink=0.0)


def box_center(target: AttributionTarget, _: MethodOptions) -> Tensor:
    """Return the second baseline: 1 in a tenth of the box's width and height around its center. (D, 1, H, W)."""
    return _filled_boxes(target, shrink=0.45)


def _filled_boxes(target: AttributionTarget, shrink: float) -> Tensor:
    """Return maps of the boxes, each made smaller on all sides by a fraction ``shrink`` of its width and height."""
    height, width = target.pixels.shape[2:]
    x1, y1, x2, y2 = target.window.tolist()
    maps = torch.zeros(len(target.detections), 1, height, width)
    for box_map, detection in zip(maps, target.detections, strict=True):
        left, top, right, bottom = detection.box.tolist()
        dx, dy = (right - left) * shrink, (bottom - top) * shrink
        columns = [round((x - x1) / (x2 - x1) * width) for x in (left + dx, right - dx)]
        rows = [round((y - y1) / (y2 - y1) * height) for y in (top + dy, bottom - dy)]
        row_range = slice(max(rows[0], 0), max(rows[1], rows[0] + 1))
        column_range = slice(max(columns[0], 0), max(columns[1], columns[0] + 1))
        box_map[0, row_range, column_range] = 1
    return maps.to(target.pixels.device)
