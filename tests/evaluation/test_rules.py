from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.evaluation import assignment as overlaps
from detect.evaluation.coco import evaluate_coco
from detect.evaluation.columns import as_coco_files, as_given, as_py_faster_rcnn_writes, places_within
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
    differing,
    in_words,
)
from detect.evaluation.voc import OFFICIAL, evaluate_by_rules
from tests.evaluation.cases import data_set, drawn_data_set
from tests.evaluation.py_faster_rcnn import result_lines, voc_eval
from tests.evaluation.slow_rules import slow_ap

A, LEFT, RIGHT = (0.0, 0.0, 96.0, 96.0), (32.0, 0.0, 128.0, 96.0), (-32.0, 0.0, 64.0, 96.0)  # IoU with A: 0.5
FAR, INNER = (0.0, 200.0, 50.0, 250.0), (0.0, 0.0, 24.0, 24.0)
CAT = 1

any_rules = st.builds(
    Rules,
    match=st.sampled_from([np.greater_equal, np.greater]),
    recall_grid=st.sampled_from([None, MATLAB_GRID, ARANGE_GRID, COCO_GRID]),
    limit=st.sampled_from([None, 1, 2, 100]),
    second_choice=st.booleans(),
    regular_first=st.booleans(),
    inside_lenient=st.booleans(),
    last_of_equals=st.booleans(),
    layout=st.sampled_from([as_given, as_coco_files]),
    ious=st.sampled_from([(0.5,), (0.75,), (0.5, 0.75), COCO_IOUS]),
)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=150, deadline=None)
@given(any_rules, seeds)
def test_any_rules_are_followed(rules, seed):
    annotations, predictions = drawn_data_set(np.random.default_rng(seed), 0.25)
    result = evaluate_by_rules(annotations, predictions, rules)
    for label, name in enumerate(annotations.classes, 1):
        assert result.per_class[name] == pytest.approx(slow_ap(annotations, predictions, label, rules), abs=1e-12)


# (truth, found), AP by the official rules, the rule that is read otherwise, AP then
ONE_RULE = {
    "match": ([(A, CAT, "")], [(LEFT, CAT, 0.9)], 1.0, {"match": np.greater}, 0.0),
    "recall_grid": ([(A, CAT, ""), (FAR, CAT, "")], [(A, CAT, 0.9)], 0.5, {"recall_grid": MATLAB_GRID}, 6 / 11),
    "limit": ([(A, CAT, "")], [(FAR, CAT, 0.9), (A, CAT, 0.8)], 0.5, {"limit": 1}, 0.0),
    "second_choice": (
        [(A, CAT, ""), (LEFT, CAT, "")],
        [(A, CAT, 0.9), (A, CAT, 0.8)],
        0.5,
        {"second_choice": True},
        1.0,
    ),
    "regular_first": (
        [(A, CAT, "difficult"), (LEFT, CAT, "")],
        [(A, CAT, 0.9)],
        0.0,
        {"regular_first": True},
        1.0,
    ),
    "inside_lenient": (
        [(A, CAT, "crowd"), (FAR, CAT, "")],
        [(INNER, CAT, 0.9), (FAR, CAT, 0.8)],
        0.5,
        {"inside_lenient": True},
        1.0,
    ),
    "last_of_equals": (
        [(LEFT, CAT, ""), (RIGHT, CAT, "")],
        [(A, CAT, 0.9), (RIGHT, CAT, 0.8)],
        1.0,
        {"last_of_equals": True},
        0.5,
    ),
    "layout": (
        [(A, CAT, "")],
        [(A, CAT, 0.9004), (FAR, CAT, 0.9003)][::-1],
        1.0,
        {"layout": as_py_faster_rcnn_writes},
        0.5,
    ),
    "ious": ([(A, CAT, "")], [((0.0, 0.0, 96.0, 72.0), CAT, 0.9)], 1.0, {"ious": (0.5, 0.8)}, 0.5),
}


@pytest.mark.parametrize(("truth", "found", "official", "changed", "expected"), ONE_RULE.values(), ids=ONE_RULE)
def test_what_one_rule_does(truth, found, official, changed, expected):
    case = data_set([(truth, found)])
    assert evaluate_by_rules(*case, Rules()).mAP == pytest.approx(official, abs=1e-12)
    assert evaluate_by_rules(*case, Rules(**changed)).mAP == pytest.approx(expected, abs=1e-12)


def test_the_table_above_has_every_rule():
    assert list(ONE_RULE) == list(Rules.__dataclass_fields__)


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_cocos_profiles_are_its_own_numbers(seed):
    annotations, predictions = drawn_data_set(np.random.default_rng(seed), 0.1)
    coco = evaluate_coco(annotations, predictions)
    ap50, ap = (evaluate_by_rules(annotations, predictions, rules) for rules in (COCO_AP50, COCO_AP))
    assert ap50.mAP == pytest.approx(coco.numbers["AP50"], abs=1e-12)
    assert ap.mAP == pytest.approx(coco.numbers["AP"], abs=1e-12)
    assert ap.per_class == {name: pytest.approx(value, abs=1e-12) for name, value in coco.per_class.items()}


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_py_faster_rcnns_files(seed):
    rng = np.random.default_rng(seed)
    annotations, predictions = drawn_data_set(rng, 1.0)
    # Boxes away from an IoU of exactly 0.5, which the roundings of two orders of arithmetic would decide.
    moved = [Prediction(p.file, 1, 1, p.boxes + rng.random(p.boxes.shape), p.scores, p.labels) for p in predictions]
    result = evaluate_by_rules(annotations, moved, PROFILES["py-faster-rcnn-files"].rules)
    for label, name in enumerate(annotations.classes, 1):
        expected = voc_eval(annotations, result_lines(moved, label, rounded=True), label)
        assert result.per_class[name] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("recalls", "misses"), [(MATLAB_GRID, {0.3}), (ARANGE_GRID, {0.3, 0.6, 0.7}), (COCO_GRID, {0.7})]
)
def test_which_recalls_a_grid_misses(recalls, misses):
    tenths = [n / 10 for n in range(11)]
    assert {tenth for tenth in tenths if not any(abs(t - tenth) < 0.001 and t <= tenth for t in recalls)} == misses


def test_a_named_profile_is_the_official_one_but_for_named_rules():
    assert (PROFILES["voc07"].rules, PROFILES["voc12"].rules) == (OFFICIAL["voc07"], OFFICIAL["voc12"])
    assert differing(OFFICIAL["voc07"], PY_FASTER_RCNN) == ["match", "recall_grid"]
    assert differing(OFFICIAL["voc07"], OFFICIAL["voc07"]) == []


def test_every_reading_in_a_profile_has_words():
    for profile in PROFILES.values():
        for rule in Rules.__dataclass_fields__:
            assert in_words(profile.rules, rule) != repr(getattr(profile.rules, rule))
    assert in_words(Rules(limit=7), "limit") == "7"


@pytest.mark.parametrize(("groups", "expected"), [([], []), ([4], [0]), ([0, 0, 1, 7, 7, 7], [0, 1, 0, 0, 1, 2])])
def test_places_within_groups(groups, expected):
    assert places_within(np.array(groups, np.int64)).tolist() == expected


@pytest.mark.parametrize("block", [1, 3, 50])
def test_pairs_are_the_same_in_blocks(block, monkeypatch):
    case = as_given(*drawn_data_set(np.random.default_rng(3), 0.25))
    whole = overlaps.near_pairs(case, Rules())
    monkeypatch.setattr(overlaps, "_BLOCK", block)
    parts = overlaps.near_pairs(case, Rules())
    assert len(whole.found) > 5
    for column in ("found", "truth", "overlaps"):
        np.testing.assert_array_equal(getattr(whole, column), getattr(parts, column))
