from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.evaluation.analysis.matches import (
    METRIC_RULES,
    best_of_image,
    images_of,
    labels_of,
    match,
    pooled,
    taken_boxes,
)
from detect.evaluation.assignment import TRUE, assign
from detect.evaluation.columns import as_coco_files, as_given
from detect.evaluation.rules import COCO_AP50, VOC12, Rules
from tests.evaluation.cases import data_set, drawn_data_set

A, B, NEAR = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0), (0.0, 0.0, 100.0, 90.0)
HALF = (0.0, 0.0, 100.0, 50.0)
CAT, DOG = 1, 2
seeds = st.integers(0, 2**32 - 1)

# (truth, found), the box that each detection takes, in the order of the detections
TABLE = {
    "nothing": ([], [], []),
    "nothing to find": ([], [(A, CAT, 0.9)], [-1]),
    "found": ([(B, CAT, ""), (A, CAT, "")], [(A, CAT, 0.9)], [1]),
    "too far": ([(B, CAT, "")], [(A, CAT, 0.9)], [-1]),
    "again": ([(A, CAT, "")], [(A, CAT, 0.8), (NEAR, CAT, 0.9)], [-1, 0]),
    "a second choice": ([(A, CAT, ""), (NEAR, CAT, "")], [(A, CAT, 0.9), (A, CAT, 0.8)], [0, 1]),
    "difficult boxes are not taken": ([(A, CAT, "difficult"), (HALF, CAT, "")], [(A, CAT, 0.9)], [1]),
}


@pytest.mark.parametrize(("truth", "found", "expected"), TABLE.values(), ids=TABLE)
def test_who_takes_which_box(truth, found, expected):
    case = as_given(*data_set([(truth, found)]))
    outcome = assign(case, case.truth.lenient[:, None], COCO_AP50)[:, 0, 0]
    taken = taken_boxes(case, outcome, COCO_AP50)
    by_score = np.argsort(np.argsort([-score for _, _, score in found]))
    assert taken[by_score].tolist() == expected


rules = st.builds(
    Rules,
    second_choice=st.booleans(),
    regular_first=st.booleans(),
    inside_lenient=st.booleans(),
    last_of_equals=st.booleans(),
    layout=st.sampled_from([as_given, as_coco_files]),
    ious=st.sampled_from([(0.5,), (0.75,), (0.5, 0.75)]),
)


@settings(max_examples=60, deadline=None)
@given(seeds, rules)
def test_each_true_detection_takes_the_best_box_that_is_free(seed, rules):
    matches = match(*drawn_data_set(np.random.default_rng(seed), 0.25), rules)
    case, outcome = matches.case, matches.outcome[:, 0]
    taken = taken_boxes(case, outcome, rules)
    np.testing.assert_array_equal(taken >= 0, outcome == TRUE)
    free = ~case.truth.lenient
    for row in np.lexsort((-case.found.scores, case.found.groups)):
        if taken[row] < 0:
            continue
        rows = [n for n, group in enumerate(case.truth.groups) if group == case.found.groups[row] and free[n]]
        overlaps = [iou(case.found.boxes.corners[row], case.truth.boxes.corners[n]) for n in rows]
        best = [n for n, overlap in zip(rows, overlaps, strict=True) if overlap == max(overlaps)]
        assert max(overlaps) >= rules.ious[0]
        assert taken[row] == best[-1 if rules.last_of_equals else 0]
        free[taken[row]] = False


def iou(a: np.ndarray, b: np.ndarray) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return float(w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h))


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(0, 5))
def test_the_best_of_each_image(seed, limit):
    case = as_given(*drawn_data_set(np.random.default_rng(seed), 0.25))
    best = best_of_image(case, limit)
    images = images_of(case, case.found.groups)
    for image in range(case.images):
        scores = sorted(case.found.scores[images == image].tolist(), reverse=True)[:limit]
        kept = best.found.scores[images_of(best, best.found.groups) == image]
        assert sorted(kept.tolist(), reverse=True) == scores


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_pooling_keeps_boxes_and_forgets_classes(seed):
    case = as_given(*drawn_data_set(np.random.default_rng(seed), 0.25))
    one = pooled(case, ~case.truth.lenient)
    np.testing.assert_array_equal(one.case.found.groups, images_of(case, case.found.groups[one.found]))
    np.testing.assert_array_equal(one.case.found.boxes.corners, case.found.boxes.corners[one.found])
    np.testing.assert_array_equal(one.case.truth.boxes.corners, case.truth.boxes.corners[one.truth])
    assert sorted(one.truth.tolist()) == np.flatnonzero(~case.truth.lenient).tolist()
    assert sorted(one.found.tolist()) == list(range(len(case.found.groups)))
    pairs = one.pairs(VOC12)
    np.testing.assert_array_equal(
        images_of(case, case.found.groups[pairs.found]), images_of(case, case.truth.groups[pairs.truth])
    )
    corners = case.found.boxes.corners[pairs.found], case.truth.boxes.corners[pairs.truth]
    assert pairs.overlaps.tolist() == pytest.approx([iou(a, b) for a, b in zip(*corners, strict=True)], abs=1e-12)


@pytest.mark.parametrize("metric", METRIC_RULES)
def test_images_are_places_in_the_data(metric):
    annotations, predictions = data_set([([], []), ([], [(A, DOG, 0.5)]), ([(B, CAT, "")], [])])
    annotations = replace(annotations, image_ids=np.array([7, 9, 3]), sizes=np.array([[1, 2], [3, 4], [5, 6]]))
    matches = match(annotations, predictions, METRIC_RULES[metric])
    case = matches.case
    assert matches.images[images_of(case, case.found.groups)].tolist() == [1]
    assert matches.images[images_of(case, case.truth.groups)].tolist() == [2]
    assert matches.sizes[images_of(case, case.found.groups)].tolist() == [[3, 4]]
    assert labels_of(case, case.found.groups).tolist() == [DOG]
    with pytest.raises(ValueError, match="expected 3 predictions"):
        match(annotations, predictions[:1], METRIC_RULES[metric])
