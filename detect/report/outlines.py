"""Outlines of masks as SVG paths, for the figures of the gallery."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from detect.data.annotations import Annotations
from detect.data.masks import Mask, decode
from detect.evaluation.predictions import Prediction
from detect.types import Size

_DETAILS = 400  # points nearer to the outline than this part of the longer side are left out: 1.2 pixels of a figure


def outline(mask: Mask, size: Size) -> str:
    """Return the edge of a mask in an image of ``size`` (h, w) as an SVG path, to be filled by the even-odd rule."""
    bitmap = decode(mask, size).astype(np.uint8)
    contours, _ = cv2.findContours(bitmap, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    paths = []
    for contour in contours:
        points = cv2.approxPolyDP(contour, max(size) / _DETAILS, True)[:, 0].tolist()
        paths.append("M" + "L".join(f"{x + 0.5:g},{y + 0.5:g}" for x, y in points) + "Z")  # OpenCV's are of centers
    return "".join(paths)


class MaskOutlines:
    """The outlines of the objects and the detections of a data set; empty texts for those without a mask.

    Rows of evaluation columns are told by their image, their label 1..K, and their rank among the objects of this label
    in the image (in the order of the data) or among its detections (by falling score).
    """

    def __init__(self, annotations: Annotations, predictions: Sequence[Prediction]) -> None:
        self.annotations, self.predictions = annotations, predictions

    def of_object(self, image: int, label: int, rank: int) -> str:
        """Return the outline of an object."""
        annotation = self.annotations[image]
        if annotation.masks is None:
            return ""
        mask = annotation.masks[int(np.flatnonzero(annotation.labels == label)[rank])]
        return "" if mask is None else outline(mask, annotation.size)

    def of_detection(self, image: int, label: int, rank: int) -> str:
        """Return the outline of a detection."""
        prediction = self.predictions[image]
        if prediction.masks is None:
            return ""
        rows = np.flatnonzero(prediction.labels == label)
        by_score = rows[np.argsort(-prediction.scores[rows], kind="stable")]
        return outline(prediction.masks[int(by_score[rank])], self.annotations.size(image))
