"""The rules in which scorers of average precision differ, and a record of the rules of each scorer.

The sources are the scorers' own code: VOCevaldet.m and VOCap.m of the development kits, py-faster-rcnn's
lib/datasets/voc_eval.py and pascal_voc.py, pycocotools' cocoeval.py and maskApi.c.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from detect.evaluation.columns import ColumnLayout, as_coco_files, as_is, as_py_faster_rcnn_files

IouTest = Callable[[Any, Any], Any]  # (overlaps, IoU threshold) -> which of the overlaps match

# MATLAB builds 0:0.1:1 from both ends, and its fourth point is 3 * 0.1: a recall of exactly 0.3 misses it.
MATLAB_GRID = (0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ARANGE_GRID = tuple(np.arange(0.0, 1.1, 0.1).tolist())  # misses 0.3, 0.6 and 0.7
COCO_GRID = tuple(np.linspace(0.0, 1.0, 101).tolist())
COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())


@dataclass(frozen=True)
class Rules:
    """One definition of average precision; without arguments, that of VOC2010 and later.

    match: the test of overlap against the IoU threshold: ``numpy.greater_equal``, or ``numpy.greater`` where an overlap
    of exactly the threshold is not enough; recall_grid: AP is the mean over these recalls of the best precision at that
    recall or more, or None: the area under the monotone envelope of the precision; limit: how many detections of a
    class in an image count, the best ones; rematch_if_taken: a detection chooses among the boxes that are not matched
    yet, else among all boxes, and a matched one makes it a false positive; prefer_counted: boxes that are neither
    difficult nor crowds are preferred, whatever the overlap; ioa_with_ignored: the overlap with a difficult or crowd
    box is the intersection over the detection's area, not the IoU; last_on_ties: of boxes with equal overlap the last
    one is matched, else the first; layout: what the files that the scorer reads hold; ious: AP is the mean over these
    IoU thresholds.
    """

    match: IouTest = np.greater_equal
    recall_grid: tuple[float, ...] | None = None
    limit: int | None = None
    rematch_if_taken: bool = False
    prefer_counted: bool = False
    ioa_with_ignored: bool = False
    last_on_ties: bool = False
    layout: ColumnLayout = as_is
    ious: tuple[float, ...] = (0.5,)


@dataclass(frozen=True)
class Profile:
    """The rules of a scorer, and the name of the profile that it is compared with (None for the first)."""

    rules: Rules
    base: str | None


VOC12 = Rules()
VOC07 = Rules(recall_grid=MATLAB_GRID)
PY_FASTER_RCNN = Rules(match=np.greater, recall_grid=ARANGE_GRID)
COCO_AP50 = Rules(
    recall_grid=COCO_GRID,
    limit=100,
    rematch_if_taken=True,
    prefer_counted=True,
    ioa_with_ignored=True,
    last_on_ties=True,
    layout=as_coco_files,
)
COCO_AP = replace(COCO_AP50, ious=COCO_IOUS)

PROFILES = {
    "voc07": Profile(VOC07, None),
    "voc12": Profile(VOC12, "voc07"),
    "py-faster-rcnn": Profile(PY_FASTER_RCNN, "voc07"),
    "py-faster-rcnn-files": Profile(replace(PY_FASTER_RCNN, layout=as_py_faster_rcnn_files), "py-faster-rcnn"),
    "coco-ap50": Profile(COCO_AP50, "voc07"),
    "coco-ap": Profile(COCO_AP, "coco-ap50"),
}

_WORDS: Mapping[str, Mapping[Hashable, str]] = {
    "match": {np.greater_equal: "overlap >= 0.5", np.greater: "overlap > 0.5"},
    "recall_grid": {
        MATLAB_GRID: "11 recalls",
        ARANGE_GRID: "11 recalls of numpy.arange",
        COCO_GRID: "101 recalls",
        None: "area under the curve",
    },
    "limit": {None: "all detections", 100: "best 100 per class and image"},
    "rematch_if_taken": {False: "best of all boxes", True: "best of the unmatched boxes"},
    "prefer_counted": {False: "difficult boxes like others", True: "difficult boxes last"},
    "ioa_with_ignored": {False: "IoU with difficult box", True: "IoA with difficult box"},
    "last_on_ties": {False: "first of equal overlaps", True: "last of equal overlaps"},
    "layout": {
        as_is: "data as given",
        as_py_faster_rcnn_files: "scores to 3 decimals, boxes to 1",
        as_coco_files: "boxes as x y w h, images by id",
    },
    "ious": {(0.5,): "IoU 0.5", COCO_IOUS: "mean of IoU 0.50 to 0.95"},
}


def differences(a: Rules, b: Rules) -> list[str]:
    """Return the field names of the rules in which two records differ, in the record's order."""
    return [field.name for field in fields(Rules) if getattr(a, field.name) != getattr(b, field.name)]


def describe(rules: Rules, name: str) -> str:
    """Return the setting of one rule in words; ``name`` is its field."""
    setting = getattr(rules, name)
    return _WORDS[name].get(setting, repr(setting))
