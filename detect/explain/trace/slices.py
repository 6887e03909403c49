"""Describes how the detections of an image's slices were merged, as plain numbers for ``slices.json``."""

from __future__ import annotations

from typing import Any

from detect.models.slices import MergedDetections, Slicing
from detect.ops import boxes as box_ops
from detect.types import Size

SliceRecord = dict[str, Any]


def describe_slices(merged: MergedDetections, slicing: Slicing, size: Size) -> SliceRecord:
    """Return the views of an image of ``size`` (h, w) and its detections, best first, each with its slice.

    slices: x1 y1 x2 y2 of each view in pixels of the image, the whole image first; a detection has the index of its
    slice there, its rank among the detections of that slice, from 1 as its trace counts, and those of other slices that
    it suppressed, with their overlap by ``match_metric``.
    """
    detections, suppressed_by = merged.detections, slicing.suppressed_by(merged.detections)
    views = slicing.views(size)
    names, boxes = detections.names(), detections.boxes.tolist()

    def describe(index: int) -> SliceRecord:
        return {
            "slice": int(merged.view_index[index]),
            "rank_in_slice": int(merged.rank_in_view[index]) + 1,
            "score": float(detections.scores[index]),
            "box": boxes[index],
        }

    def overlap(winner: int, loser: int) -> float:
        pair = detections.boxes[[winner, loser]]
        if slicing.match_metric == "iou":
            return float(box_ops.iou(pair[:1], pair[1:]))
        return float(box_ops.intersections(pair[:1], pair[1:]) / box_ops.areas(pair).min())

    records = []
    for rank, winner in enumerate(merged.keep.tolist(), start=1):
        losers = (
            []
            if len(views) == 1
            else [i for i in (suppressed_by == winner).nonzero().flatten().tolist() if i != winner]
        )
        losers.sort(key=lambda index: -float(detections.scores[index]))
        suppressed = [describe(index) | {"overlap": overlap(winner, index)} for index in losers]
        records.append({"rank": rank, "name": names[winner], **describe(winner), "suppressed": suppressed})
    return {
        "slices": [list(view) for view in views],
        "match_metric": slicing.match_metric,
        "match_threshold": slicing.match_threshold,
        "detections": records,
    }
