from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.evaluation.analysis.matches import (
    METRIC_RULES,
    class_agnostic,
    images_of,
    images_with_objects,
    labels_of,
    match,
    matched_objects,
    top_of_each_image,
)
from detect.evaluation.assignment import TRUE_POSITIVE, assign
from detect.evaluation.columns import as_coco_files, as_is
from detect.evaluation.rules import COCO_AP50, VOC12, Rules
from tests.evaluation.example_data import data_set, random_scored_data_set

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
def test_matched_objects(truth, found, expected):
    case = as_is(*data_set([(truth, found)]))
    outcome = assign(case, case.ground_truth.ignore[:, None], COCO_AP50)[:, 0, 0]
    taken = matched_objects(case, outcome, COCO_AP50)
    by_score = np.argsort(np.argsort([-score for _, _, score in found]))
    assert taken[by_score].tolist() == expected


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([], [0, 0]),
        ([([], [(A, CAT, 0.9)])], [0, 0]),
        ([([(A, CAT, ""), (B, CAT, "")], []), ([(A, CAT, "")], [])], [2, 0]),
        ([([(A, DOG, "difficult")], []), ([(A, DOG, ""), (B, CAT, "crowd")], [])], [0, 1]),
    ],
)
def test_images_with_objects_that_count(images, expected):
    annotations, predictions = data_set(images)
    counted = images_with_objects(match(annotations, predictions, COCO_AP50))
    assert counted == dict(zip(("cat", "dog", "zebra"), [*expected, 0], strict=True))


rules = st.builds(
    Rules,
    rematch_if_taken=st.booleans(),
    prefer_counted=st.booleans(),
    ioa_with_ignored=st.booleans(),
    last_on_ties=st.booleans(),
    layout=st.sampled_from([as_is, as_coco_files]),
    ious=st.sampled_from([(0.5,), (0.75,), (0.5, 0.75)]),
)


@settings(max_examples=40, deadline=None)
@given(seeds, rules)
def test_true_positives_match_the_best_unmatched_box(seed, rules):
    matches = match(*random_scored_data_set(np.random.default_rng(seed), 0.25), rules)
    case, outcome = matches.columns, matches.outcome[:, 0]
    taken = matched_objects(case, outcome, rules)
    np.testing.assert_array_equal(taken >= 0, outcome == TRUE_POSITIVE)
    free = ~case.ground_truth.ignore
    for row in np.lexsort((-case.detections.scores, case.detections.groups)):
        if taken[row] < 0:
            continue
        rows = [
            n for n, group in enumerate(case.ground_truth.groups) if group == case.detections.groups[row] and free[n]
        ]
        overlaps = [iou(case.detections.boxes.corners[row], case.ground_truth.boxes.corners[n]) for n in rows]
        best = [n for n, overlap in zip(rows, overlaps, strict=True) if overlap == max(overlaps)]
        assert max(overlaps) >= rules.ious[0]
        assert taken[row] == best[-1 if rules.last_on_ties else 0]
        free[taken[row]] = False


def iou(a: np.ndarray, b: np.ndarray) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return float(w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h))


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(0, 5))
def test_top_of_each_image(seed, limit):
    case = as_is(*random_scored_data_set(np.random.default_rng(seed), 0.25))
    best = top_of_each_image(case, limit)
    images = images_of(case, case.detections.groups)
    for image in range(case.num_images):
        scores = sorted(case.detections.scores[images == image].tolist(), reverse=True)[:limit]
        kept = best.detections.scores[images_of(best, best.detections.groups) == image]
        assert sorted(kept.tolist(), reverse=True) == scores


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_class_agnostic_keeps_boxes_without_classes(seed):
    case = as_is(*random_scored_data_set(np.random.default_rng(seed), 0.25))
    merged = class_agnostic(case, ~case.ground_truth.ignore)
    np.testing.assert_array_equal(
        merged.columns.detections.groups, images_of(case, case.detections.groups[merged.det_index])
    )
    np.testing.assert_array_equal(
        merged.columns.detections.boxes.corners, case.detections.boxes.corners[merged.det_index]
    )
    np.testing.assert_array_equal(
        merged.columns.ground_truth.boxes.corners, case.ground_truth.boxes.corners[merged.gt_index]
    )
    assert sorted(merged.gt_index.tolist()) == np.flatnonzero(~case.ground_truth.ignore).tolist()
    assert sorted(merged.det_index.tolist()) == list(range(len(case.detections.groups)))
    pairs = merged.pairs(VOC12)
    np.testing.assert_array_equal(
        images_of(case, case.detections.groups[pairs.det_index]),
        images_of(case, case.ground_truth.groups[pairs.gt_index]),
    )
    corners = case.detections.boxes.corners[pairs.det_index], case.ground_truth.boxes.corners[pairs.gt_index]
    assert pairs.overlaps.tolist() == pytest.approx([iou(a, b) for a, b in zip(*corners, strict=True)], abs=1e-12)


@pytest.mark.parametrize("metric", METRIC_RULES)
def test_matches_images_index_the_data(metric):
    annotations, predictions = data_set([([], []), ([], [(A, DOG, 0.5)]), ([(B, CAT, "")], [])])
    annotations = replace(annotations, image_ids=np.array([7, 9, 3]), sizes=np.array([[1, 2], [3, 4], [5, 6]]))
    matches = match(annotations, predictions, METRIC_RULES[metric])
    case = matches.columns
    assert matches.images[images_of(case, case.detections.groups)].tolist() == [1]
    assert matches.images[images_of(case, case.ground_truth.groups)].tolist() == [2]
    assert matches.sizes[images_of(case, case.detections.groups)].tolist() == [[3, 4]]
    assert labels_of(case, case.detections.groups).tolist() == [DOG]
    with pytest.raises(ValueError, match="expected 3 predictions"):
        match(annotations, predictions[:1], METRIC_RULES[metric])
