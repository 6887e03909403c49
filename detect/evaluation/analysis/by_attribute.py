"""Properties of objects that make them hard, and the AP of the objects that have them.

Of the objects outside of a range none need be found, and a detection that finds none counts only if its own box is in
the range, as COCO does by area (Lin et al. 2014). Which properties: Hoiem, Chodpathumwan and Dai 2012, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.bootstrap import means, resampled
from detect.evaluation.analysis.matches import Matches, images_of, pooled
from detect.evaluation.assignment import FALSE, NEUTRAL, assign
from detect.evaluation.coco_tables import AREAS
from detect.evaluation.columns import Boxes, Case, Flags, Floats, Found, places_within
from detect.evaluation.rules import Rules

BORDER = 2.0  # pixels: annotators rarely reach the very edge


@dataclass(frozen=True)
class Attribute:
    """Which of M ranges of a property each box is in; truth (G, M) and found (D, M)."""

    ranges: tuple[str, ...]
    truth: Flags
    found: Flags


@dataclass(frozen=True)
class RangeScore:
    """AP of the objects in a range, fractions in 0..1 (None where there are none), and how many there are to find."""

    mAP: float | None  # noqa: N815  the field's own spelling
    per_class: dict[str, float | None]
    objects: int


def attributes(matches: Matches) -> dict[str, Attribute]:
    """By name.

    size: COCO's, by the annotation's area (on an edge: in both ranges); aspect: width to height below 3/4, up to 4/3,
    above; crowding: how much of a box the second-most overlapped object covers, by IoU, the first being itself: below
    0.1, up to 0.3, above; border: within 2 pixels of the image's edge, where an object may be cut off.
    """
    case = matches.case
    columns = (case.truth.boxes, case.truth.groups), (case.found.boxes, case.found.groups)
    aspects = (_split(_aspect(boxes), (3 / 4, 4 / 3)) for boxes, _ in columns)
    overlaps = (_split(overlap, (0.1, 0.3)) for overlap in _second_overlaps(case))
    borders = (
        _split(_to_border(boxes, matches.sizes[images_of(case, groups)]), (BORDER,)) for boxes, groups in columns
    )
    return {
        "size": Attribute(_SIZES, _in_areas(case.truth.areas), _in_areas(case.found.boxes.areas)),
        "aspect": Attribute(("tall", "square", "wide"), *aspects),
        "crowding": Attribute(("alone", "touching", "crowded"), *overlaps),
        "border": Attribute(("at the border", "inside"), *borders),
    }


def within(matches: Matches, attribute: Attribute) -> dict[str, Matches]:
    """The matches of each range by its name: objects outside of it count as difficult ones do."""
    case = matches.case
    ignored = case.truth.lenient[:, None] | ~attribute.truth
    outcome = assign(case, ignored, matches.rules)
    outcome[(outcome == FALSE) & ~attribute.found[:, :, None]] = NEUTRAL
    return {
        name: replace(
            matches, case=replace(case, truth=replace(case.truth, lenient=ignored[:, m])), outcome=outcome[:, m]
        )
        for m, name in enumerate(attribute.ranges)
    }


def score_ranges(matches: Matches) -> dict[str, dict[str, RangeScore]]:
    """AP under the rules of the matches, by attribute and range."""
    return {
        name: {of: _score(part) for of, part in within(matches, attribute).items()}
        for name, attribute in attributes(matches).items()
    }


def _score(matches: Matches) -> RangeScore:
    aps = resampled(matches, np.ones((len(matches.images), 1), np.int32))
    mean, per_class = means(aps)[0], dict(zip(matches.classes, aps[0].tolist(), strict=True))
    return RangeScore(
        mAP=None if np.isnan(mean) else float(mean),
        per_class={name: None if np.isnan(ap) else ap for name, ap in per_class.items()},
        objects=int((~matches.case.truth.lenient).sum()),
    )


_SIZES = tuple(name for name in AREAS if name != "all")


def _in_areas(areas: Floats) -> Flags:
    low, high = np.array([AREAS[name] for name in _SIZES]).T
    inside: Flags = (areas[:, None] >= low) & (areas[:, None] <= high)
    return inside


def _split(values: Floats, edges: Sequence[float]) -> Flags:
    """(N,) -> (N, M): in which of the ranges between the edges; an edge belongs to the range below it."""
    inside: Flags = np.searchsorted(edges, values, side="left")[:, None] == np.arange(len(edges) + 1)
    return inside


def _aspect(boxes: Boxes) -> Floats:
    """Width over height (N,); infinite without a height."""
    width, height = (boxes.corners[:, 2:] - boxes.corners[:, :2]).T
    aspect: Floats = np.full(len(width), np.inf)
    np.divide(width, height, out=aspect, where=height > 0)
    return aspect


def _to_border(boxes: Boxes, sizes: NDArray[np.int32]) -> Floats:
    """How many pixels (N,) lie between a box and the nearest edge of its image; sizes (N, 2) h, w."""
    gaps = np.concatenate([boxes.corners[:, :2], sizes[:, ::-1] - boxes.corners[:, 2:]], axis=1)
    nearest: Floats = gaps.min(axis=1)
    return nearest


def _second_overlaps(case: Case) -> tuple[Floats, Floats]:
    """The second-highest IoU of each box (G,) and detection (D,) with the objects of its image, whatever the class."""
    truth = case.truth
    itself = Found(truth.groups, places_within(truth.groups), truth.boxes, np.zeros(len(truth.groups)))
    return _second_overlap(replace(case, found=itself)), _second_overlap(case)


def _second_overlap(case: Case) -> Floats:
    pairs = pooled(case, np.ones(len(case.truth.groups), bool)).pairs(Rules(match=np.greater, ious=(0.0,)))
    pairs = pairs[np.lexsort((-pairs.overlaps, pairs.found))]
    second = places_within(pairs.found) == 1
    overlaps = np.zeros(len(case.found.groups))
    overlaps[pairs.found[second]] = pairs.overlaps[second]
    return overlaps
