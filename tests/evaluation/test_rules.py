from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.evaluation import assignment as overlaps
from detect.evaluation.coco import evaluate_coco
from detect.evaluation.columns import as_coco_files, as_is, as_py_faster_rcnn_files, rank_in_group
from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import (
    ARANGE_GRID,
    COCO_AP,
    COCO_AP50,
    COCO_GRID,
    COCO_IOUS,
    MATLAB_GRID,
    PROFILES,
    PY_FASTER_RCNN,
    Rules,
    describe,
    differences,
)
from detect.evaluation.voc import OFFICIAL, evaluate_by_rules
from tests.evaluation.example_data import data_set, random_scored_data_set
from tests.evaluation.reference_py_faster_rcnn import result_lines, voc_eval
from tests.evaluation.reference_rules import reference_ap

A, LEFT, RIGHT = (0.0, 0.0, 96.0, 96.0), (32.0, 0.0, 128.0, 96.0), (-32.0, 0.0, 64.0, 96.0)  # IoU with A: 0.5
FAR, INNER = (0.0, 200.0, 50.0, 250.0), (0.0, 0.0, 24.0, 24.0)
CAT = 1

any_rules = st.builds(
    Rules,
    match=st.sampled_from([np.greater_equal, np.greater]),
    recall_grid=st.sampled_from([None, MATLAB_GRID, ARANGE_GRID, COCO_GRID]),
    limit=st.sampled_from([None, 1, 2, 100]),
    rematch_if_taken=st.booleans(),
    prefer_counted=st.booleans(),
    ioa_with_ignored=st.booleans(),
    last_on_ties=st.booleans(),
    layout=st.sampled_from([as_is, as_coco_files]),
    ious=st.sampled_from([(0.5,), (0.75,), (0.5, 0.75), COCO_IOUS]),
)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=50, deadline=None)
@given(any_rules, seeds)
def test_assignment_for_random_rules_equals_the_slow_rules(rules, seed):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    result = evaluate_by_rules(annotations, predictions, rules)
    for label, name in enumerate(annotations.classes, 1):
        assert result.per_class[name] == pytest.approx(reference_ap(annotations, predictions, label, rules), abs=1e-12)


# (truth, found), AP by the official rules, the rule that is read otherwise, AP then
ONE_RULE = {
    "match": ([(A, CAT, "")], [(LEFT, CAT, 0.9)], 1.0, {"match": np.greater}, 0.0),
    "recall_grid": ([(A, CAT, ""), (FAR, CAT, "")], [(A, CAT, 0.9)], 0.5, {"recall_grid": MATLAB_GRID}, 6 / 11),
    "limit": ([(A, CAT, "")], [(FAR, CAT, 0.9), (A, CAT, 0.8)], 0.5, {"limit": 1}, 0.0),
    "rematch_if_taken": (
        [(A, CAT, ""), (LEFT, CAT, "")],
        [(A, CAT, 0.9), (A, CAT, 0.8)],
        0.5,
        {"rematch_if_taken": True},
        1.0,
    ),
    "prefer_counted": (
        [(A, CAT, "difficult"), (LEFT, CAT, "")],
        [(A, CAT, 0.9)],
        0.0,
        {"prefer_counted": True},
        1.0,
    ),
    "ioa_with_ignored": (
        [(A, CAT, "crowd"), (FAR, CAT, "")],
        [(INNER, CAT, 0.9), (FAR, CAT, 0.8)],
        0.5,
        {"ioa_with_ignored": True},
        1.0,
    ),
    "last_on_ties": (
        [(LEFT, CAT, ""), (RIGHT, CAT, "")],
        [(A, CAT, 0.9), (RIGHT, CAT, 0.8)],
        1.0,
        {"last_on_ties": True},
        0.5,
    ),
    "layout": (
        [(A, CAT, "")],
        [(A, CAT, 0.9004), (FAR, CAT, 0.9003)][::-1],
        1.0,
        {"layout": as_py_faster_rcnn_files},
        0.5,
    ),
    "ious": ([(A, CAT, "")], [((0.0, 0.0, 96.0, 72.0), CAT, 0.9)], 1.0, {"ious": (0.5, 0.8)}, 0.5),
}


@pytest.mark.parametrize(("truth", "found", "official", "changed", "expected"), ONE_RULE.values(), ids=ONE_RULE)
def test_one_rule_changed_changes_the_ap(truth, found, official, changed, expected):
    case = data_set([(truth, found)])
    assert evaluate_by_rules(*case, Rules()).mAP == pytest.approx(official, abs=1e-12)
    assert evaluate_by_rules(*case, Rules(**changed)).mAP == pytest.approx(expected, abs=1e-12)


def test_table_of_single_rules_has_every_field():
    assert list(ONE_RULE) == list(Rules.__dataclass_fields__)


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_coco_profiles_equal_evaluate_coco(seed):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.1)
    coco = evaluate_coco(annotations, predictions)
    ap50, ap = (evaluate_by_rules(annotations, predictions, rules) for rules in (COCO_AP50, COCO_AP))
    assert ap50.mAP == pytest.approx(coco.metrics["AP50"], abs=1e-12)
    assert ap.mAP == pytest.approx(coco.metrics["AP"], abs=1e-12)
    assert ap.per_class == {name: pytest.approx(value, abs=1e-12) for name, value in coco.per_class.items()}


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_py_faster_rcnn_files_equal_its_own_evaluation(seed):
    rng = np.random.default_rng(seed)
    annotations, predictions = random_scored_data_set(rng, 1.0)
    # Boxes away from an IoU of exactly 0.5, which the roundings of two orders of arithmetic would decide.
    moved = [Prediction(p.file, 1, 1, p.boxes + rng.random(p.boxes.shape), p.scores, p.labels) for p in predictions]
    result = evaluate_by_rules(annotations, moved, PROFILES["py-faster-rcnn-files"].rules)
    for label, name in enumerate(annotations.classes, 1):
        expected = voc_eval(annotations, result_lines(moved, label, rounded=True), label)
        assert result.per_class[name] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("recalls", "misses"), [(MATLAB_GRID, {0.3}), (ARANGE_GRID, {0.3, 0.6, 0.7}), (COCO_GRID, {0.7})]
)
def test_recall_grid_misses_known_recalls(recalls, misses):
    tenths = [n / 10 for n in range(11)]
    assert {tenth for tenth in tenths if not any(abs(t - tenth) < 0.001 and t <= tenth for t in recalls)} == misses


def test_profiles_differ_from_official_rules_in_named_fields():
    assert (PROFILES["voc07"].rules, PROFILES["voc12"].rules) == (OFFICIAL["voc07"], OFFICIAL["voc12"])
    assert differences(OFFICIAL["voc07"], PY_FASTER_RCNN) == ["match", "recall_grid"]
    assert differences(OFFICIAL["voc07"], OFFICIAL["voc07"]) == []


def test_describe_every_rule_of_every_profile_has_words():
    for profile in PROFILES.values():
        for rule in Rules.__dataclass_fields__:
            assert describe(profile.rules, rule) != repr(getattr(profile.rules, rule))
    assert describe(Rules(limit=7), "limit") == "7"


@pytest.mark.parametrize(("groups", "expected"), [([], []), ([4], [0]), ([0, 0, 1, 7, 7, 7], [0, 1, 0, 0, 1, 2])])
def test_rank_in_group(groups, expected):
    assert rank_in_group(np.array(groups, np.int64)).tolist() == expected


@pytest.mark.parametrize("block", [1, 3, 50])
def test_candidate_pairs_in_blocks_are_the_same(block, monkeypatch):
    case = as_is(*random_scored_data_set(np.random.default_rng(3), 0.25))
    unsplit = overlaps.candidate_pairs(case, Rules())
    monkeypatch.setattr(overlaps, "_BLOCK", block)
    parts = overlaps.candidate_pairs(case, Rules())
    assert len(unsplit.det_index) > 5
    for column in ("det_index", "gt_index", "overlaps"):
        np.testing.assert_array_equal(getattr(unsplit, column), getattr(parts, column))
