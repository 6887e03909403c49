from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.evaluation.analysis import error_types as errors_module
from detect.evaluation.analysis.error_costs import compute_dap
from detect.evaluation.analysis.error_types import ERROR_TYPES, NO_ERROR, Errors, classify_errors
from detect.evaluation.analysis.matches import images_of, labels_of
from detect.evaluation.assignment import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detect.evaluation.coco import evaluate_coco
from tests.evaluation.analysis.reference_tide import TideBox, reference_tide
from tests.evaluation.example_data import data_set, random_scored_data_set

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
HALF = (0.0, 0.0, 100.0, 50.0)  # IoU with A is exactly 0.5
QUARTER = (0.0, 0.0, 100.0, 25.0)
TENTH = (0.0, 0.0, 100.0, 10.0)
NEAR, FAR = (0.0, 0.0, 100.0, 90.0), (0.0, 200.0, 50.0, 250.0)
CAT, DOG = 1, 2

# (truth, found), the kind of each detection, how many boxes are missed
TABLE = {
    "nothing": ([], [], [], 0),
    "nothing to find": ([], [(A, CAT, 0.9)], ["background"], 0),
    "nothing found": ([(A, CAT, "")], [], [], 1),
    "found": ([(A, CAT, "")], [(A, CAT, 0.9)], [""], 0),
    "elsewhere": ([(A, CAT, "")], [(FAR, CAT, 0.9)], ["background"], 1),
    "another class": ([(A, CAT, "")], [(A, DOG, 0.9)], ["classification"], 0),
    "badly placed": ([(A, CAT, "")], [(QUARTER, CAT, 0.9)], ["localisation"], 0),
    "both": ([(A, CAT, "")], [(QUARTER, DOG, 0.9)], ["both"], 1),
    "again": ([(A, CAT, "")], [(A, CAT, 0.9), (NEAR, CAT, 0.8)], ["", "duplicate"], 0),
    "again by exactly half: not duplicate": (
        [(A, CAT, "")],
        [(A, CAT, 0.9), (HALF, CAT, 0.8)],
        ["", "localisation"],
        0,
    ),
    "a tenth is about the box": ([(A, CAT, "")], [(TENTH, CAT, 0.9)], ["localisation"], 0),
    "a tenth of another class is background": ([(A, CAT, "")], [(TENTH, DOG, 0.9)], ["background"], 1),
    "localisation before classification": (
        [(A, CAT, ""), (QUARTER, DOG, "")],
        [(A, DOG, 0.9)],
        ["localisation"],
        1,
    ),
    "classification before duplicate": (
        [(A, CAT, ""), (NEAR, DOG, "")],
        [(A, CAT, 0.9), (A, CAT, 0.8)],
        ["", "classification"],
        0,
    ),
    "on a difficult box": (
        [(A, CAT, "difficult"), (B, CAT, "")],
        [(A, CAT, 0.9), (B, CAT, 0.8)],
        ["background", ""],
        0,
    ),
}


def error_kinds(errors: Errors) -> list[str]:
    """By score, best first; "" for no error."""
    order = np.argsort(-errors.columns.detections.scores, kind="stable")
    return ["" if kind == NO_ERROR else ERROR_TYPES[kind] for kind in errors.error_types[order]]


@pytest.mark.parametrize(("truth", "found", "kinds", "missed"), TABLE.values(), ids=TABLE)
def test_error_kinds(truth, found, kinds, missed):
    errors = classify_errors(*data_set([(truth, found)]))
    assert error_kinds(errors) == kinds
    assert int(errors.missed.sum()) == errors.counts["missed"] == missed
    neutral = int((errors.outcome == IGNORED).sum())
    assert sum(errors.counts.values()) == sum(kind != "" for kind in kinds) + missed - neutral


def test_no_images():
    costs = compute_dap(classify_errors(*data_set([])))
    assert (costs.mAP, costs.dap_false_positives, costs.dap_false_negatives) == (None, None, None)
    assert costs.dap_by_type == dict.fromkeys(ERROR_TYPES)
    assert costs.counts == dict.fromkeys(ERROR_TYPES, 0)
    assert costs.per_class["cat"] == dict.fromkeys(ERROR_TYPES)


# (truth, found), mAP, dAP of the kinds that have one, and of false positives and false negatives
COSTS = {
    "found": ([(A, CAT, "")], [(A, CAT, 0.9)], 1.0, {}, 0.0, 0.0),
    "nothing found": ([(A, CAT, "")], [], 0.0, {}, 0.0, 0.0),
    "half missed": ([(A, CAT, ""), (B, CAT, "")], [(A, CAT, 0.9)], 51 / 101, {"missed": 50 / 101}, 0.0, 50 / 101),
    "background first": ([(A, CAT, "")], [(A, CAT, 0.5), (FAR, CAT, 0.9)], 0.5, {"background": 0.5}, 0.5, 0.0),
    "duplicate between": (
        [(A, CAT, ""), (B, CAT, "")],
        [(A, CAT, 0.9), (NEAR, CAT, 0.8), (B, CAT, 0.7)],
        (51 + 50 * 2 / 3) / 101,
        {"duplicate": (50 - 50 * 2 / 3) / 101},
        (50 - 50 * 2 / 3) / 101,
        0.0,
    ),
    "badly placed": ([(A, CAT, "")], [(QUARTER, CAT, 0.9)], 0.0, {"localisation": 1.0}, 0.0, 0.0),
    "a dog for a cat": (
        [(A, CAT, ""), (B, DOG, "")],
        [(A, DOG, 0.9), (B, DOG, 0.8)],
        0.25,
        {"classification": 0.75},
        0.25,
        0.0,
    ),
    "the better one mends": (
        [(A, CAT, ""), (B, DOG, "")],
        [(QUARTER, CAT, 0.9), (A, DOG, 0.8), (B, DOG, 0.95)],
        0.5,
        {"localisation": 0.5},
        0.0,
        0.0,
    ),
}


@pytest.mark.parametrize(
    ("truth", "found", "ap", "kinds", "false_positives", "false_negatives"), COSTS.values(), ids=COSTS
)
def test_error_costs(truth, found, ap, kinds, false_positives, false_negatives):
    costs = compute_dap(classify_errors(*data_set([(truth, found)])))
    assert costs.mAP == pytest.approx(ap)
    assert costs.dap_by_type == pytest.approx(dict.fromkeys(ERROR_TYPES, 0.0) | kinds)
    assert costs.dap_false_positives == pytest.approx(false_positives)
    assert costs.dap_false_negatives == pytest.approx(false_negatives)
    assert costs.to_dict()["kinds"] == costs.dap_by_type


def test_classification_error_costs_both_classes():
    truth, found = [(A, CAT, ""), (B, DOG, "")], [(A, DOG, 0.9), (B, DOG, 0.8)]
    costs = compute_dap(classify_errors(*data_set([(truth, found)])))
    by_class = {name: kinds["classification"] for name, kinds in costs.per_class.items()}
    assert by_class == {"cat": pytest.approx(1.0), "dog": pytest.approx(0.5), "zebra": None}


def test_classify_errors_best_of_each_image_count(monkeypatch):
    monkeypatch.setattr(errors_module, "MAX_DETECTIONS", 2)
    found = [(FAR, CAT, 0.5), (A, DOG, 0.9), (A, CAT, 0.8), (B, CAT, 0.1)]
    errors = classify_errors(*data_set([([(A, CAT, "")], found), ([], [(B, CAT, 0.05)])]))
    assert error_kinds(errors) == ["classification", "", "background"]
    assert sorted(errors.columns.detections.scores.tolist()) == [0.05, 0.8, 0.9]


def rows(boxes: list[TideBox]) -> list[tuple[object, ...]]:
    return sorted((d.image, d.label, d.sides, d.score, d.kind, d.matched is None) for d in boxes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([100, 4]))
def test_errors_and_costs_equal_transcribed_tidecv(seed, limit):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(errors_module, "MAX_DETECTIONS", limit)
        errors = classify_errors(annotations, predictions)
    slow = reference_tide(annotations, predictions, limit)
    case = errors.columns
    images = errors.images[images_of(case, case.detections.groups)].tolist()
    labels = labels_of(case, case.detections.groups).tolist()
    sides = [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in case.detections.boxes.corners.tolist()]
    kinds = ["" if kind == NO_ERROR else ERROR_TYPES[kind] for kind in errors.error_types]
    neutral = (errors.outcome == IGNORED).tolist()
    scores = case.detections.scores.tolist()
    assert sorted(zip(images, labels, sides, scores, kinds, neutral, strict=True)) == rows(slow.found)
    assert errors.counts["missed"] == sum(t.kind == "missed" for t in slow.truth)
    costs = compute_dap(errors)
    known = [label for label in (1, 2, 3) if slow.ap(label) is not None]
    if not known:
        assert costs.mAP is None
        return
    before = {label: slow.ap(label) or 0.0 for label in known}
    assert costs.mAP == pytest.approx(np.mean(list(before.values())), abs=1e-12)
    for kind in ERROR_TYPES:
        for label in known:
            rise = (slow.ap(label, kind) or 0.0) - before[label]
            assert rise >= -1e-12
            assert costs.per_class[annotations.classes[label - 1]][kind] == pytest.approx(rise, abs=1e-12)
        assert costs.dap_by_type[kind] == pytest.approx(
            np.mean([costs.per_class[annotations.classes[label - 1]][kind] or 0.0 for label in known]), abs=1e-12
        )
    special = [[ap - before[label] for ap in slow.special(label)] for label in known]
    assert costs.dap_false_positives == pytest.approx(np.mean([of[0] for of in special]), abs=1e-12)
    assert costs.dap_false_negatives == pytest.approx(np.mean([max(of[1], 0.0) for of in special]), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_kinds_partition_false_positives_and_objects(seed):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    errors = classify_errors(annotations, predictions)
    assert ((errors.error_types == NO_ERROR) == (errors.outcome == TRUE_POSITIVE)).all()
    assert sum(errors.counts.values()) == (errors.outcome == FALSE_POSITIVE).sum() + errors.missed.sum()
    meant = np.zeros(len(errors.matched), bool)
    meant[errors.about_object[errors.about_object >= 0]] = True
    regular = ~errors.columns.ground_truth.ignore
    np.testing.assert_array_equal(regular, errors.matched | errors.missed | (meant & regular))
    assert not (errors.matched & errors.missed).any()
    assert not (errors.missed & meant).any()
    assert errors.matched.sum() == (errors.outcome == TRUE_POSITIVE).sum()
    mended = errors.about_object[errors.correctable]
    assert len(set(mended.tolist())) == len(mended) == (meant & ~errors.matched).sum()
    costs = compute_dap(errors)
    for cost in (*costs.dap_by_type.values(), costs.dap_false_positives, costs.dap_false_negatives):
        assert cost is None or cost >= 0
    ap50 = evaluate_coco(annotations, predictions).metrics["AP50"]
    assert (costs.mAP is None) == (ap50 is None)
