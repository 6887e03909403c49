"""Draws the receptive field of a layer's cell on an image."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from detect.config import Config
from detect.config.builders.detector import build_preprocess, build_uninitialized
from detect.draw import LabeledBoxes, draw_detections
from detect.errors import UserError, did_you_mean
from detect.explain.attribution.heatmaps import with_caption
from detect.explain.network.receptive_field import Field
from detect.explain.network.summary import fields_by_slot
from detect.types import Size


def field_figure(config: Config, rgb: np.ndarray, layer: str | None) -> tuple[np.ndarray, str]:
    """Return the image with the receptive fields of the middle cell and of its right and lower neighbors, and a line of
    text.

    For R-CNN the whole image is warped to one crop. rgb: (h, w, 3) uint8; layer: a layer of the backbone, the RPN or
    the body of the crops, as ``detect model summary`` names it, None for the last layer that has a map. Raises
    UserError for a name that no layer has, and for a layer without a map.
    """
    preprocess = build_preprocess(config)
    size = preprocess.target_size((rgb.shape[0], rgb.shape[1]))
    canvas = preprocess.canvas([size])
    with torch.device("meta"):
        detector = build_uninitialized(config, ("any",)).eval()
    crop_size = detector.feature_network().input_size
    if crop_size is not None:
        size = canvas = crop_size
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
    """Return the fields of the cell in the middle and of its two neighbors as boxes (B, 4), clipped to the image.

    size: (h, w) of the image in canvas pixels; image: (H, W) of the image file, in whose pixels the boxes are.
    """
    rows, columns = field
    row, column = (int(np.argmin(np.abs(axis.low + axis.high - side))) for axis, side in zip(field, size, strict=True))
    cells = [(row, column), (row, column + 1), (row + 1, column)]
    boxes = [
        (columns.low[x], rows.low[y], columns.high[x], rows.high[y])
        for y, x in cells
        if y < len(rows.low) and x < len(columns.low)
    ]
    scale = np.array([image[1] / size[1], image[0] / size[0]] * 2)
    limit = np.array([image[1], image[0]] * 2)
    return np.asarray((np.array(boxes) * scale).clip(0, limit))


def _describe_field(name: str, field: Field) -> str:
    high, wide = (axis.size for axis in field)
    y_jump, x_jump = (axis.jump for axis in field)
    cells = " x ".join(str(len(axis.low)) for axis in reversed(field))
    return (
        f"{name}: {cells} cells (w x h); each sees at most {wide} x {high} pixels of the network's input, and the "
        f"stride between cells is {x_jump:g} x {y_jump:g} pixels"
    )
