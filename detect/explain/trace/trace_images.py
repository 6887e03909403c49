"""The trace of a detection as pictures: anchor, proposal and detection on the image; what it suppressed; its search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from detect.draw import LabeledBoxes, class_color, image_grid, draw_detections
from detect.proposals.selective_search.history import BoxHistory as SearchStory

_MOST_LOSERS = 5  # more boxes than these hide the image
_FADED = 0.45


def chain_figure(rgb: np.ndarray, told: dict[str, Any], scale: np.ndarray) -> np.ndarray:
    """Left: anchor (or given box), proposal, detection and its object; right: what the detection suppressed.

    rgb (h, w, 3) uint8; scale (4,): from the network's pixels to the image's.
    """
    rows: list[tuple[str, Sequence[float]]] = []
    if told["anchor"] is not None:
        rows.append((f"anchor {told['anchor']['index']}", told["anchor"]["box"]))
    rows.append((f"proposal {told['proposal']['rank']}", told["proposal"]["box"]))
    rows.append((f"{told['name']} {told['score']:.2f}", told["box"]))
    boxes = np.array([box for _, box in rows]) * scale
    names = [name for name, _ in rows]
    truth = told.get("truth")
    if truth is not None and truth["box"] is not None:
        boxes = np.concatenate([boxes, [truth["box"]]])
        names.append(f"object: {told['name']}")
    chain = draw_detections(rgb, LabeledBoxes(boxes, range(1, len(names) + 1)), names)
    losers = told["suppressed"][:_MOST_LOSERS]
    taken = np.array([told["box"], *(loser["box"] for loser in losers)]) * scale
    captions = [names[len(rows) - 1], *(f"IoU {loser['iou']:.2f}" for loser in losers)]
    beaten = draw_detections(rgb, LabeledBoxes(taken, range(1, len(captions) + 1)), captions)
    return image_grid([chain, beaten], 2)


def search_figure(rgb: np.ndarray, story: SearchStory) -> np.ndarray:
    """Left: the first segments of the strategy; right: those that were joined into the box, the rest faded."""
    height, width = story.segmentation.labels.shape
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    colours = np.array([class_color(label + 1) for label in range(len(story.segmentation.sizes))], np.float32)
    painted = colours[story.segmentation.labels]
    whole = small * np.float32(0.4) + painted * np.float32(0.6)
    own = np.isin(story.segmentation.labels, story.segments)[:, :, None]
    part = np.where(own, whole, small * np.float32(_FADED) + 255 * np.float32(1 - _FADED))
    box = _box_of(story)
    pictures = [np.ascontiguousarray(picture.round().astype(np.uint8)) for picture in (whole, part)]
    pictures[1] = draw_detections(pictures[1], LabeledBoxes(box[None], [1]), [f"{len(story.segments)} segments"])
    if pictures[0].shape != pictures[1].shape:  # small pictures are drawn enlarged
        size = pictures[1].shape[1], pictures[1].shape[0]
        pictures[0] = np.asarray(cv2.resize(pictures[0], size, interpolation=cv2.INTER_NEAREST))
    return image_grid(pictures, 2)


def _box_of(story: SearchStory) -> np.ndarray:
    boxes = story.segmentation.boxes[list(story.segments)]
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]).astype(np.float64)
