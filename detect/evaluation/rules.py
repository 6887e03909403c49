"""The rules by which scorers differ, and the scorers as records of them.

Everything here was read in the scorers' own code: VOCevaldet.m and VOCap.m of the development kits, py-faster-rcnn's
lib/datasets/voc_eval.py and pascal_voc.py, pycocotools' cocoeval.py and maskApi.c.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from detect.evaluation.columns import Layout, as_coco_files, as_given, as_py_faster_rcnn_writes

Match = Callable[[Any, Any], Any]  # of overlaps and the least overlap: which are a match

# MATLAB builds 0:0.1:1 from both ends, and its fourth point is 3 * 0.1: a recall of exactly 0.3 misses it.
MATLAB_GRID = (0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ARANGE_GRID = tuple(np.arange(0.0, 1.1, 0.1).tolist())  # misses 0.3, 0.6 and 0.7
COCO_GRID = tuple(np.linspace(0.0, 1.0, 101).tolist())
COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())


@dataclass(frozen=True)
class Rules:
    """One reading of average precision; without arguments, that of VOC2010 and later.

    match: whether an overlap that equals the least one is enough; recall_grid: AP is the mean over these recalls of
    the best precision at that recall or more, or None: the area under the monotone envelope of the precision; limit:
    how many detections of a class in an image count, the best ones; second_choice: a detection looks only at boxes that
    are still free, else at all of them, and a taken one makes it false; regular_first: boxes that are neither difficult
    nor crowds are preferred, whatever the overlap; inside_lenient: the overlap with a difficult or crowd box is the
    share of the detection that lies in it, not the IoU; last_of_equals: of boxes with equal overlap the last one is
    taken, else the first; layout: what the files that the scorer reads hold; ious: AP is the mean over these overlaps.
    """

    match: Match = np.greater_equal
    recall_grid: tuple[float, ...] | None = None
    limit: int | None = None
    second_choice: bool = False
    regular_first: bool = False
    inside_lenient: bool = False
    last_of_equals: bool = False
    layout: Layout = as_given
    ious: tuple[float, ...] = (0.5,)


@dataclass(frozen=True)
class Profile:
    """A scorer by name: its rules, and the profile that it is told apart from (None: the first)."""

    rules: Rules
    base: str | None


VOC12 = Rules()
VOC07 = Rules(recall_grid=MATLAB_GRID)
PY_FASTER_RCNN = Rules(match=np.greater, recall_grid=ARANGE_GRID)
COCO_AP50 = Rules(
    recall_grid=COCO_GRID,
    limit=100,
    second_choice=True,
    regular_first=True,
    inside_lenient=True,
    last_of_equals=True,
    layout=as_coco_files,
)
COCO_AP = replace(COCO_AP50, ious=COCO_IOUS)

PROFILES = {
    "voc07": Profile(VOC07, None),
    "voc12": Profile(VOC12, "voc07"),
    "py-faster-rcnn": Profile(PY_FASTER_RCNN, "voc07"),
    "py-faster-rcnn-files": Profile(replace(PY_FASTER_RCNN, layout=as_py_faster_rcnn_writes), "py-faster-rcnn"),
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
    "limit": {None: "all detections", 100: "best 100 of a class in an image"},
    "second_choice": {False: "best of all boxes", True: "best of the free boxes"},
    "regular_first": {False: "difficult boxes like others", True: "difficult boxes last"},
    "inside_lenient": {False: "IoU with difficult box", True: "share of detection in difficult box"},
    "last_of_equals": {False: "first of equal overlaps", True: "last of equal overlaps"},
    "layout": {
        as_given: "data as given",
        as_py_faster_rcnn_writes: "scores to 3 decimals, boxes to 1",
        as_coco_files: "boxes as x y w h, images by id",
    },
    "ious": {(0.5,): "IoU 0.5", COCO_IOUS: "mean of IoU 0.50 to 0.95"},
}


def differing(a: Rules, b: Rules) -> list[str]:
    """The rules, by field name in the record's order, that two profiles read differently."""
    return [rule.name for rule in fields(Rules) if getattr(a, rule.name) != getattr(b, rule.name)]


def in_words(rules: Rules, rule: str) -> str:
    """How a profile reads one rule, named by its field."""
    value = getattr(rules, rule)
    return _WORDS[rule].get(value, repr(value))
