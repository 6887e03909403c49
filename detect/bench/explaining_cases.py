"""Detections that found an object with a mask: what explanations are judged on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from detect.data.formats.voc_xml import read_annotation
from detect.errors import UserError
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import TargetDetection, AttributionTarget, target_detections, attribution_targets
from detect.explain.trace.trace import trace
from detect.inference.predictor import Predictor
from detect.ops import boxes as box_ops
from detect.ops.preprocess import rescale_boxes
from detect.system.files import require_file, require_folder
from detect.types import Images, Size

MASKS = "SegmentationObject"


@dataclass(frozen=True)
class MaskedImage:
    """An image; of each object its class, its box (4,) in the image's pixels and its mask (H, W) bool."""

    image: Path
    names: tuple[str, ...]
    boxes: np.ndarray
    masks: tuple[np.ndarray, ...]


def masked_images(root: Path, split: str, number: int) -> list[MaskedImage]:
    """The first ``number`` images of a VOC folder's list that have masks. UserError where none has."""
    folder = require_folder(root / MASKS, "VOC's masks of objects")
    names = require_file(root / "ImageSets" / "Main" / f"{split}.txt", "a list of images").read_text("utf-8").split()
    files = [file for name in names if (file := folder / f"{name}.png").exists()][:number]
    if not files:
        raise UserError(f"{folder}: expected masks (.png) of images in the list {split}, found none")
    return [_read_masked_image(root, file) for file in files]


def _read_masked_image(root: Path, file: Path) -> MaskedImage:
    """The value of a pixel is the place of its object in the annotation, from 1; 255 is the border between objects."""
    objects = read_annotation(root / "Annotations" / f"{file.stem}.xml").objects
    values = np.asarray(Image.open(file))
    seen = [one for one in objects if (values == one.index).any()]
    boxes = np.array([one.box for one in seen], np.float64).reshape(-1, 4)
    names, masks = tuple(one.name for one in seen), tuple(values == one.index for one in seen)
    return MaskedImage(root / "JPEGImages" / f"{file.stem}.jpg", names, boxes, masks)


MATCH_IOU = 0.5  # IoU from which a detection has found an object


@dataclass(frozen=True)
class ExplanationCase:
    """A detection that found an object: its view and place in it, the object's mask, those of others of its class."""

    target: AttributionTarget
    index: int
    mask: np.ndarray
    other_masks: np.ndarray


def make_cases(predictor: Predictor, masked: MaskedImage, images: Images, score: float) -> list[ExplanationCase]:
    """The detections of an image that found an object of their class."""
    with torch.no_grad(), predictor.compute.autocast():
        (traced,) = trace(predictor.base_detector, images)
    pinned = [one for one in target_detections(traced) if one.score >= score]
    size = masked.masks[0].shape if masked.masks else (1, 1)
    found = {
        one.rank: place for one in pinned if (place := _match_object(predictor, masked, one, images.sizes[0])) is not None
    }
    chosen = [one for one in pinned if one.rank in found]
    cases = []
    for view in attribution_targets(predictor.base_detector, images, chosen, "score"):
        for place, one in enumerate(view.detections):
            own = found[one.rank]
            others = [
                mask
                for number, mask in enumerate(masked.masks)
                if number != own and masked.names[number] == masked.names[own]
            ]
            cases.append(ExplanationCase(view, place, masked.masks[own], np.any([np.zeros(size, bool), *others], axis=0)))
    return cases


def _match_object(predictor: Predictor, masked: MaskedImage, one: TargetDetection, canvas: Size) -> int | None:
    """The place of the object of its class that a detection overlaps most, where that is enough."""
    if not masked.masks:
        return None
    height, width = masked.masks[0].shape
    box = rescale_boxes(one.box[None].cpu().double(), canvas, (height, width))
    overlaps = box_ops.iou(box, torch.from_numpy(masked.boxes))[0].numpy()
    overlaps[[name != predictor.classes[one.label - 1] for name in masked.names]] = 0
    best = int(overlaps.argmax())
    return best if overlaps[best] >= MATCH_IOU else None


def flat_box(view: AttributionTarget, _: MethodOptions) -> Tensor:
    """1 in the detection's box, 0 elsewhere."""
    return _filled_boxes(view, shrink=0.0)


def box_center(view: AttributionTarget, _: MethodOptions) -> Tensor:
    """A tenth of the box, around its centre."""
    return _filled_boxes(view, shrink=0.45)


def _filled_boxes(view: AttributionTarget, shrink: float) -> Tensor:
    height, width = view.pixels.shape[2:]
    x1, y1, x2, y2 = view.window.tolist()
    maps = torch.zeros(len(view.detections), 1, height, width)
    for own, one in zip(maps, view.detections, strict=True):
        left, top, right, bottom = one.box.tolist()
        dx, dy = (right - left) * shrink, (bottom - top) * shrink
        columns = [round((x - x1) / (x2 - x1) * width) for x in (left + dx, right - dx)]
        rows = [round((y - y1) / (y2 - y1) * height) for y in (top + dy, bottom - dy)]
        own[0, max(rows[0], 0) : max(rows[1], rows[0] + 1), max(columns[0], 0) : max(columns[1], columns[0] + 1)] = 1
    return maps.to(view.pixels.device)
