"""Compares the detections of a graph with those of the model that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from detect.data.images import read_image
from detect.inference.predictor import Predictor
from detect.types import Detections

BOX_TOLERANCE = 0.05  # pixels of the image
SCORE_TOLERANCE = 1e-3
MASK_TOLERANCE = 1e-2  # of the probability of a cell
MIN_AGREEMENT = 0.99  # of the detections of either side; others lie at a threshold or have equal scores


@dataclass(frozen=True)
class GraphCheck:
    """The number of images, of the model's detections and of the graph's, and of each side those the other has too."""

    num_images: int
    num_expected: int
    num_detected: int
    num_expected_same: int
    num_detected_same: int

    @property
    def passes(self) -> bool:
        """True if nearly all detections of either side are among those of the other."""
        return (
            self.num_expected_same >= MIN_AGREEMENT * self.num_expected
            and self.num_detected_same >= MIN_AGREEMENT * self.num_detected
        )

    def __str__(self) -> str:
        """Return the counts in words."""
        return (
            f"{self.num_expected_same} of the model's {self.num_expected} detections in {self.num_images} images are "
            f"the graph's, and {self.num_detected_same} of the graph's {self.num_detected} are the model's (within "
            f"{BOX_TOLERANCE} pixels and {SCORE_TOLERANCE} of the score)"
        )


def check_graph(model: Predictor, graph: Predictor, images: Sequence[Path]) -> GraphCheck:
    """Detect in images with a model and its graph, and count the detections that are the same. Raises UserError."""
    counts = [0, 0, 0, 0]
    for image in images:
        rgb = read_image(image)
        expected, detected = model.predict(rgb, 0.0), graph.predict(rgb, 0.0)
        same = same_detections(expected, detected)
        in_both = (int(same.any(1).sum()), int(same.any(0).sum()))
        for i, count in enumerate((len(expected), len(detected), *in_both)):
            counts[i] += count
    return GraphCheck(len(images), *counts)


def same_detections(a: Detections, b: Detections) -> Tensor:
    """Return which detections of ``a`` and ``b`` are the same, (A, B) bool: labels, and boxes, scores and masks nearly.

    Masks are compared where both have them.
    """
    same = a.labels[:, None] == b.labels
    same = same & ((a.boxes[:, None] - b.boxes).abs().amax(2) <= BOX_TOLERANCE)
    same = same & ((a.scores[:, None] - b.scores).abs() <= SCORE_TOLERANCE)
    if a.masks is None or b.masks is None:
        return same
    rows, columns = same.nonzero(as_tuple=True)
    same[rows, columns] = (a.masks[rows] - b.masks[columns]).abs().flatten(1).mean(1) <= MASK_TOLERANCE
    return same
