"""AP of the objects with a property that may make them hard: size, aspect ratio, crowding, closeness to the border.

Objects outside of a range of the property are ignored, and a detection that matches no object counts only if its own
box is in the range, as COCO does by area (Lin et al. 2014). The properties follow Hoiem, Chodpathumwan and Dai 2012,
section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.bootstrap import mean_aps, weighted_aps
from detect.evaluation.analysis.matches import Matches, class_agnostic, images_of
from detect.evaluation.assignment import FALSE_POSITIVE, IGNORED, assign
from detect.evaluation.coco_tables import AREAS, in_area_ranges
from detect.evaluation.columns import BoolArray, BoxColumns, DetectionColumns, EvalColumns, FloatArray, rank_in_group
from detect.evaluation.rules import Rules

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

BORDER = 2.0  # pixels: annotators rarely draw boxes up to the very edge


@dataclass(frozen=True)
class Attribute:
    """The membership of boxes in M ranges of a property: ground_truth (G, M) and detections (D, M)."""

    ranges: tuple[str, ...]
    ground_truth: BoolArray
    detections: BoolArray


@dataclass(frozen=True)
class RangeScore:
    """The AP of the objects in a range, fractions in 0..1 (None where there are none), and their number."""

    mAP: float | None  # noqa: N815  the field's own spelling
    per_class: dict[str, float | None]
    objects: int

    def to_dict(self) -> dict[str, object]:
        """Return the record that scripts read: mAP, per_class, objects."""
        return {"mAP": self.mAP, "per_class": self.per_class, "objects": self.objects}


def box_attributes(matches: Matches) -> dict[str, Attribute]:
    """Return the properties of all boxes by name.

    size: COCO's ranges of the annotation's area (an area on an edge is in both ranges); aspect: width over height below
    3/4, up to 4/3, above; crowding: the IoU of a box with the object that overlaps it second-most (the first is the
    object itself), below 0.1, up to 0.3, above; border: within 2 pixels of the image's edge, where an object may be
    truncated.
    """
    columns = matches.columns
    ground_truth, detections = columns.ground_truth, columns.detections
    rows = (ground_truth.boxes, ground_truth.groups), (detections.boxes, detections.groups)
    aspects = (_split(_aspect(boxes), (3 / 4, 4 / 3)) for boxes, _ in rows)
    crowding = (_split(ious, (0.1, 0.3)) for ious in _second_ious(columns))
    borders = (
        _split(_border_distance(boxes, matches.sizes[images_of(columns, groups)]), (BORDER,)) for boxes, groups in rows
    )
    sizes = (in_area_ranges(areas)[:, _SIZE_COLUMNS] for areas in (ground_truth.areas, detections.boxes.areas))
    return {
        "size": Attribute(_SIZES, *sizes),
        "aspect": Attribute(("tall", "square", "wide"), *aspects),
        "crowding": Attribute(("alone", "touching", "crowded"), *crowding),
        "border": Attribute(("at the border", "inside"), *borders),
    }


def label_attributes(matches: Matches, annotations: Annotations) -> dict[str, Attribute]:
    """Return the properties that the labels of these annotations mark, by name: occlusion, truncation, both or none.

    Nothing says whether a detection that matches no object is of an occluded one: it counts in both ranges. So the APs
    of two ranges are not to be compared with each other, but those of two detectors in one range.
    """
    columns = matches.columns
    ranks = np.argsort(matches.images)  # of each image of the data among those of the columns
    groups = (annotations.labels - 1) * columns.num_images + np.repeat(ranks, np.diff(annotations.offsets))
    order = np.argsort(groups, kind="stable")  # as make_columns sorts the rows
    in_both = np.ones((len(columns.detections.groups), 2), bool)
    names = {"occlusion": ("visible", "occluded"), "truncation": ("whole", "truncated")}
    marks = {"occlusion": annotations.occluded, "truncation": annotations.truncated}
    return {
        name: Attribute(names[name], np.stack([~marked[order], marked[order]], 1), in_both)
        for name, marked in marks.items()
        if marked is not None
    }


def restrict_to(matches: Matches, attribute: Attribute) -> dict[str, Matches]:
    """Return the matches of each range by its name; objects outside of it are ignored, as difficult ones are."""
    columns = matches.columns
    ignored = columns.ground_truth.ignore[:, None] | ~attribute.ground_truth
    outcome = assign(columns, ignored, matches.rules)
    outcome[(outcome == FALSE_POSITIVE) & ~attribute.detections[:, :, None]] = IGNORED
    restricted = {}
    for m, name in enumerate(attribute.ranges):
        ground_truth = replace(columns.ground_truth, ignore=ignored[:, m])
        restricted[name] = replace(matches, columns=replace(columns, ground_truth=ground_truth), outcome=outcome[:, m])
    return restricted


def score_ranges(matches: Matches) -> dict[str, dict[str, RangeScore]]:
    """Return the AP by the rules of the matches, by name of the property and of the range."""
    return {
        name: {range_: _score(restricted) for range_, restricted in restrict_to(matches, attribute).items()}
        for name, attribute in box_attributes(matches).items()
    }


def score_labeled_ranges(matches: Matches, annotations: Annotations) -> dict[str, dict[str, RangeScore]]:
    """Return the AP of the objects that the labels mark and of the others, by property and range; {} without marks."""
    return {
        name: {range_: _score(restricted) for range_, restricted in restrict_to(matches, attribute).items()}
        for name, attribute in label_attributes(matches, annotations).items()
    }


def _score(matches: Matches) -> RangeScore:
    aps = weighted_aps(matches, np.ones((len(matches.images), 1), np.int32))
    mean, per_class = mean_aps(aps)[0], dict(zip(matches.classes, aps[0].tolist(), strict=True))
    return RangeScore(
        mAP=None if np.isnan(mean) else float(mean),
        per_class={name: None if np.isnan(ap) else ap for name, ap in per_class.items()},
        objects=int((~matches.columns.ground_truth.ignore).sum()),
    )


_SIZES = tuple(name for name in AREAS if name != "all")
_SIZE_COLUMNS = [index for index, name in enumerate(AREAS) if name != "all"]


def _split(numbers: FloatArray, edges: Sequence[float]) -> BoolArray:
    """(N,) -> (N, M): which of the M ranges between the edges each number is in; an edge is in the range below it."""
    inside: BoolArray = np.searchsorted(edges, numbers, side="left")[:, None] == np.arange(len(edges) + 1)
    return inside


def _aspect(boxes: BoxColumns) -> FloatArray:
    """Return width over height (N,), infinite where the height is 0."""
    width, height = (boxes.corners[:, 2:] - boxes.corners[:, :2]).T
    aspect: FloatArray = np.full(len(width), np.inf)
    np.divide(width, height, out=aspect, where=height > 0)
    return aspect


def _border_distance(boxes: BoxColumns, sizes: NDArray[np.int32]) -> FloatArray:
    """Return the pixels (N,) between a box and the nearest edge of its image; sizes (N, 2) height, width."""
    gaps = np.concatenate([boxes.corners[:, :2], sizes[:, ::-1] - boxes.corners[:, 2:]], axis=1)
    nearest: FloatArray = gaps.min(axis=1)
    return nearest


def _second_ious(columns: EvalColumns) -> tuple[FloatArray, FloatArray]:
    """Return the second-highest IoU of each box (G,) and detection (D,) with the objects of its image, of any class."""
    ground_truth = columns.ground_truth
    groups = ground_truth.groups
    as_detections = DetectionColumns(groups, rank_in_group(groups), ground_truth.boxes, np.zeros(len(groups)))
    return _second_iou(replace(columns, detections=as_detections)), _second_iou(columns)


def _second_iou(columns: EvalColumns) -> FloatArray:
    """Return the second-highest IoU of each detection (D,), 0 where it overlaps fewer than two objects."""
    all_boxes = np.ones(len(columns.ground_truth.groups), bool)
    pairs = class_agnostic(columns, all_boxes).pairs(Rules(match=np.greater, ious=(0.0,)))
    pairs = pairs[np.lexsort((-pairs.overlaps, pairs.det_index))]
    second = rank_in_group(pairs.det_index) == 1
    ious = np.zeros(len(columns.detections.groups))
    ious[pairs.det_index[second]] = pairs.overlaps[second]
    return ious
