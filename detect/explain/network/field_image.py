"""What a cell of a layer sees, drawn on an image."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from detect.config import Config
from detect.config.builders.detector import build_uninitialized, build_preprocess
from detect.draw import LabeledBoxes, draw_detections
from detect.errors import UserError, did_you_mean
from detect.explain.attribution.heatmaps import with_caption
from detect.explain.network.receptive_field import Field
from detect.explain.network.summary import fields_by_slot
from detect.models.regions.warped_crops import WarpedCrops
from detect.types import Size


def field_figure(config: Config, rgb: np.ndarray, layer: str | None) -> tuple[np.ndarray, str]:
    """The middle cell's field, and its neighbours' on the right and below, on the image (for R-CNN on the whole image
    warped to one crop); and a line of text.

    layer: of the backbone, the RPN or the crops' body, as ``detect model summary`` names it; None: the last that has
    a map. UserError for a name that is no layer's, or of one without a map.
    """
    rule = build_preprocess(config)
    size = rule.target_size((rgb.shape[0], rgb.shape[1]))
    canvas = rule.canvas([size])
    with torch.device("meta"):
        detector = build_uninitialized(config, ("any",)).eval()
    if isinstance(detector.regions, WarpedCrops):
        size = canvas = (detector.regions.crop_size, detector.regions.crop_size)
        rgb = np.asarray(cv2.resize(rgb, (size[1], size[0]), interpolation=cv2.INTER_AREA))
    slots = fields_by_slot(detector, canvas)
    fields = {name: field for slot in slots.values() for (name, call), field in slot.items() if call == 1}
    name = list(slots["regions"] or slots["backbone"])[-1][0] if layer is None else layer
    if name not in fields:
        raise UserError(f"--layer: expected a layer that has a map, found {name}{did_you_mean(name, fields)}")
    text = _describe_field(name, fields[name])
    boxes = _boxes(fields[name], size, (rgb.shape[0], rgb.shape[1]))
    names = ["a cell", "the next one", "the one below"][: len(boxes)]
    return with_caption(draw_detections(rgb, LabeledBoxes(boxes, range(1, len(names) + 1)), names), text), text


def _boxes(field: Field, size: Size, image: Size) -> np.ndarray:
    """Of the cell in the middle of the picture and its two neighbours, in the image's pixels, cut to it: (B, 4)."""
    rows, columns = field
    row, column = (int(np.argmin(np.abs(line.low + line.high - side))) for line, side in zip(field, size, strict=True))
    cells = [(row, column), (row, column + 1), (row + 1, column)]
    found = [
        (columns.low[x], rows.low[y], columns.high[x], rows.high[y])
        for y, x in cells
        if y < len(rows.low) and x < len(columns.low)
    ]
    scale = np.array([image[1] / size[1], image[0] / size[0]] * 2)
    limit = np.array([image[1], image[0]] * 2)
    return np.asarray((np.array(found) * scale).clip(0, limit))


def _describe_field(name: str, field: Field) -> str:
    high, wide = (line.size for line in field)
    down, across = (line.jump for line in field)
    cells = " x ".join(str(len(line.low)) for line in reversed(field))
    return (
        f"{name}: {cells} cells (w x h); each sees {wide} x {high} pixels of the network's picture at most, "
        f"and the next one begins {across:g} x {down:g} pixels on"
    )
