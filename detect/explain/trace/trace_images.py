"""Figures of a traced detection: its anchor, proposal and box on the image, what it suppressed, and its search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from detect.draw import LabeledBoxes, class_color, draw_detections, image_grid
from detect.proposals.selective_search.history import BoxHistory

_MAX_LOSERS = 5  # more boxes than these hide the image
_OPACITY = 0.45  # of the image outside the box's segments


def chain_figure(rgb: np.ndarray, record: dict[str, Any], scale: np.ndarray) -> np.ndarray:
    """Return two images side by side, (H, W, 3) uint8.

    Left: the anchor (or precomputed proposal), the proposal, the box that each later stage of a cascade read, the
    detection and its object; right: what the detection
    suppressed. rgb: (h, w, 3) uint8; record: of ``describe_detections``; scale: (4,), from canvas pixels to the image's
    pixels.
    """
    rows: list[tuple[str, Sequence[float]]] = []
    if record["anchor"] is not None:
        rows.append((f"anchor {record['anchor']['index']}", record["anchor"]["box"]))
    rows.append((f"proposal {record['proposal']['rank']}", record["proposal"]["box"]))
    rows.extend((f"stage {stage['stage']}", stage["box"]) for stage in record["stages"][1:])
    rows.append((f"{record['name']} {record['score']:.2f}", record["box"]))
    boxes = np.array([box for _, box in rows]) * scale
    names = [name for name, _ in rows]
    truth = record.get("truth")
    if truth is not None and truth["box"] is not None:
        boxes = np.concatenate([boxes, [truth["box"]]])
        names.append(f"object: {record['name']}")
    chain = draw_detections(rgb, LabeledBoxes(boxes, range(1, len(names) + 1)), names)
    losers = record["suppressed"][:_MAX_LOSERS]
    suppressed_boxes = np.array([record["box"], *(loser["box"] for loser in losers)]) * scale
    captions = [names[len(rows) - 1], *(f"IoU {loser['iou']:.2f}" for loser in losers)]
    suppressed = draw_detections(rgb, LabeledBoxes(suppressed_boxes, range(1, len(captions) + 1)), captions)
    return image_grid([chain, suppressed], 2)


def search_figure(rgb: np.ndarray, history: BoxHistory) -> np.ndarray:
    """Return two images side by side, (H, W, 3) uint8.

    Left: the initial segments of the strategy; right: those that were merged into the box, the others faded.
    """
    height, width = history.segmentation.labels.shape
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    colors = np.array([class_color(label + 1) for label in range(len(history.segmentation.sizes))], np.float32)
    painted = colors[history.segmentation.labels]
    all_segments = small * np.float32(0.4) + painted * np.float32(0.6)
    in_box = np.isin(history.segmentation.labels, history.segments)[:, :, None]
    box_segments = np.where(in_box, all_segments, small * np.float32(_OPACITY) + 255 * np.float32(1 - _OPACITY))
    box = _merged_box(history)
    images = [np.ascontiguousarray(image.round().astype(np.uint8)) for image in (all_segments, box_segments)]
    images[1] = draw_detections(images[1], LabeledBoxes(box[None], [1]), [f"{len(history.segments)} segments"])
    if images[0].shape != images[1].shape:  # small images are drawn enlarged
        size = images[1].shape[1], images[1].shape[0]
        images[0] = np.asarray(cv2.resize(images[0], size, interpolation=cv2.INTER_NEAREST))
    return image_grid(images, 2)


def _merged_box(history: BoxHistory) -> np.ndarray:
    """Return the box (4,) around the segments of a searched box."""
    boxes = history.segmentation.boxes[list(history.segments)]
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]).astype(np.float64)
