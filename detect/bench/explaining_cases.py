"""Detections that found an object with a mask: what explanations are judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from detect.bench.masked import Masked
from detect.explain.attribution.target import Pinned, View, pin, views
from detect.explain.trace.trace import trace
from detect.inference.predictor import Predictor
from detect.ops import boxes as box_ops
from detect.ops.preprocess import rescale_boxes
from detect.types import Images, Size

FOUND = 0.5  # IoU from which a detection has found an object


@dataclass(frozen=True)
class Case:
    """A detection that found an object: its view and place in it, the object's mask, those of others of its class."""

    view: View
    place: int
    mask: np.ndarray
    others: np.ndarray


def cases_of(predictor: Predictor, masked: Masked, images: Images, score: float) -> list[Case]:
    """The detections of a photo that found an object of their class."""
    with torch.no_grad(), predictor.compute.autocast():
        (traced,) = trace(predictor.single, images)
    pinned = [one for one in pin(traced) if one.score >= score]
    size = masked.masks[0].shape if masked.masks else (1, 1)
    found = {
        one.rank: place for one in pinned if (place := _object(predictor, masked, one, images.sizes[0])) is not None
    }
    chosen = [one for one in pinned if one.rank in found]
    cases = []
    for view in views(predictor.single, images, chosen, "score"):
        for place, one in enumerate(view.pinned):
            own = found[one.rank]
            others = [
                mask
                for number, mask in enumerate(masked.masks)
                if number != own and masked.names[number] == masked.names[own]
            ]
            cases.append(Case(view, place, masked.masks[own], np.any([np.zeros(size, bool), *others], axis=0)))
    return cases


def _object(predictor: Predictor, masked: Masked, one: Pinned, canvas: Size) -> int | None:
    """The place of the object of its class that a detection overlaps most, where that is enough."""
    if not masked.masks:
        return None
    height, width = masked.masks[0].shape
    box = rescale_boxes(one.box[None].cpu().double(), canvas, (height, width))
    overlaps = box_ops.iou(box, torch.from_numpy(masked.boxes))[0].numpy()
    overlaps[[name != predictor.classes[one.label - 1] for name in masked.names]] = 0
    best = int(overlaps.argmax())
    return best if overlaps[best] >= FOUND else None
