"""Detection in slices: an image and windows of it are detected one by one, and their detections merged into one set.

A detector sees an image resized to a fixed size, so a small object of a large image may have less than a pixel there.
A slice keeps its size. The whole image is detected too, for objects that are larger than a slice (Akyon et al. 2022,
"Slicing aided hyper inference", section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from detect.ops.nms import nms, suppressed_by, suppressed_by_smaller
from detect.ops.preprocess import rescale_boxes
from detect.ops.slices import Window, slice_windows
from detect.types import Detections, Size


@dataclass(frozen=True)
class MergedDetections:
    """The detections of all views of an image, and which of them stay.

    detections: of all views, one view after the other, boxes float64 in pixels of the image; view_index (D,) int64: the
    view of each; rank_in_view (D,) int64: its rank in that view, from 0; keep: the indices of those that stay, best
    first.
    """

    detections: Detections
    view_index: Tensor
    rank_in_view: Tensor
    keep: Tensor

    @property
    def merged(self) -> Detections:
        """Return the detections that stay, best first."""
        return self.detections.select(self.keep)


@dataclass(frozen=True)
class Slicing:
    """The slices of an image, and how their detections are merged.

    slice_size: (h, w) in pixels of the image; overlap: fraction of a slice that it shares with the next one;
    match_metric: the overlap of two boxes, intersection over union (iou) or over the area of the smaller one (ios);
    match_threshold: of two detections of a class that overlap more, the one with the lower score is dropped.
    """

    slice_size: Size
    overlap: float
    match_metric: Literal["iou", "ios"]
    match_threshold: float

    def views(self, size: Size) -> list[Window]:
        """Return the views of an image of ``size`` (h, w): the whole image first, then its slices, if it has any."""
        whole = (0, 0, size[1], size[0])
        windows = slice_windows(size, self.slice_size, self.overlap)
        return [whole] if windows == [whole] else [whole, *windows]

    def merge(self, view_detections: Sequence[Detections]) -> MergedDetections:
        """Merge the detections of all views, in pixels of the image, by one greedy non-maximum suppression.

        A single view stays as it is. No detection is dropped for the count of the others: each view has its limit.
        """
        joined = _concatenate(view_detections)
        counts = torch.tensor([len(detections) for detections in view_detections])
        view_index = torch.arange(len(counts)).repeat_interleave(counts)
        rank_in_view = torch.arange(len(joined)) - (counts.cumsum(0) - counts)[view_index]
        keep = torch.arange(len(joined)) if len(view_detections) == 1 else self._nms(joined)
        return MergedDetections(joined, view_index, rank_in_view, keep)

    def suppressed_by(self, detections: Detections) -> Tensor:
        """Return the index (D,) int64 of the detection that suppressed each one in ``merge``, its own if none did."""
        suppress = suppressed_by if self.match_metric == "iou" else suppressed_by_smaller
        return suppress(detections.boxes, detections.scores, self.match_threshold, detections.labels)

    def _nms(self, detections: Detections) -> Tensor:
        """Return the indices of the detections that stay, best first."""
        boxes, scores, labels = detections.boxes, detections.scores, detections.labels
        if self.match_metric == "iou":
            return nms(boxes, scores, self.match_threshold, labels)
        suppressor = suppressed_by_smaller(boxes, scores, self.match_threshold, labels)
        keep = (suppressor == torch.arange(len(boxes))).nonzero().flatten()
        return keep[scores[keep].argsort(descending=True, stable=True)]


def move_to_image(detections: Detections, resized: Size, view: Window) -> Detections:
    """Return the detections of a view on the CPU, boxes float64 in pixels of the image; resized: its (h, w) on the
    canvas.
    """
    x1, y1, x2, y2 = view
    boxes = rescale_boxes(detections.boxes.double().cpu(), resized, (y2 - y1, x2 - x1))
    return Detections(
        boxes=boxes + boxes.new_tensor([x1, y1, x1, y1]),
        scores=detections.scores.cpu(),
        labels=detections.labels.cpu(),
        classes=detections.classes,
        masks=None if detections.masks is None else detections.masks.cpu(),
    )


def _concatenate(view_detections: Sequence[Detections]) -> Detections:
    """Return the detections of at least one view in one record."""
    masks = [detections.masks for detections in view_detections if detections.masks is not None]
    return Detections(
        boxes=torch.cat([detections.boxes for detections in view_detections]),
        scores=torch.cat([detections.scores for detections in view_detections]),
        labels=torch.cat([detections.labels for detections in view_detections]),
        classes=view_detections[0].classes,
        masks=torch.cat(masks) if masks else None,
    )
