from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from detect.evaluation.rules import MATLAB_GRID, Rules
from detect.evaluation.voc import OFFICIAL, average_precision, evaluate_by_rules, evaluate_voc
from tests.evaluation.example_data import data_set, random_data_set
from tests.evaluation.reference_matlab import ap_voc07, ap_voc12, eval_det, matlab_colon

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
HALF = (0.0, 0.0, 100.0, 50.0)  # IoU with A is exactly 0.5
FAR = (0.0, 200.0, 50.0, 250.0)
CAT = 1

TABLE = {
    "nothing to find, nothing found": ([], [], None),
    "nothing to find, something found": ([], [(A, CAT, 0.9)], None),
    "nothing found": ([(A, CAT, "")], [], 0.0),
    "found": ([(A, CAT, "")], [(A, CAT, 0.9)], 1.0),
    "the least IoU is enough": ([(A, CAT, "")], [(HALF, CAT, 0.9)], 1.0),
    "of another class": ([(A, CAT, "")], [(A, 2, 0.9)], 0.0),
    "a false positive first": ([(A, CAT, "")], [(A, CAT, 0.5), (FAR, CAT, 0.9)], 0.5),
    "a tie of scores: as given": ([(A, CAT, "")], [(FAR, CAT, 0.5), (A, CAT, 0.5)], 0.5),
    "a duplicate is false": ([(A, CAT, ""), (B, CAT, "")], [(A, CAT, 0.9), (A, CAT, 0.8), (B, CAT, 0.7)], 5 / 6),
    "only difficult": ([(A, CAT, "difficult")], [(A, CAT, 0.9)], None),
    "on a difficult box: nothing": ([(A, CAT, "difficult"), (B, CAT, "")], [(A, CAT, 0.9), (B, CAT, 0.5)], 1.0),
    "difficult twice: nothing": (
        [(A, CAT, "difficult"), (B, CAT, "")],
        [(A, CAT, 0.9), (A, CAT, 0.8), (B, CAT, 0.5)],
        1.0,
    ),
    "a crowd is difficult": ([(A, CAT, "crowd"), (B, CAT, "")], [(A, CAT, 0.9), (B, CAT, 0.5)], 1.0),
    "the first of equals is difficult": ([(A, CAT, "difficult"), (A, CAT, "")], [(A, CAT, 0.9)], 0.0),
    "the first of equals is free": ([(A, CAT, ""), (A, CAT, "difficult")], [(A, CAT, 0.9)], 1.0),
    "no second choice": ([(A, CAT, ""), (HALF, CAT, "")], [(A, CAT, 0.9), (A, CAT, 0.8)], 0.5),
    "a box without extent": ([(A, CAT, "")], [((5.0, 5.0, 5.0, 5.0), CAT, 0.9), (A, CAT, 0.5)], 0.5),
}


@pytest.mark.parametrize(("truth", "found", "expected"), TABLE.values(), ids=TABLE)
def test_evaluate_voc_one_image_equals_by_hand(truth, found, expected):
    result = evaluate_voc(*data_set([(truth, found)]), "voc12")
    assert result.per_class["cat"] == (None if expected is None else pytest.approx(expected, abs=1e-15))


@pytest.mark.parametrize("metric", ["voc07", "voc12"])
def test_no_images(metric):
    result = evaluate_voc(*data_set([]), metric)
    assert result.mAP is None
    assert result.per_class == {"cat": None, "dog": None, "zebra": None}
    assert [len(curve.recall) for curve in result.curves.values()] == [0, 0, 0]


def test_classes_without_truth_are_left_out_of_the_mean():
    truth = [(A, 1, ""), (B, 2, "")]
    result = evaluate_voc(*data_set([(truth, [(A, 1, 0.9), (A, 3, 0.9)])]), "voc12")
    assert result.per_class == {"cat": 1.0, "dog": 0.0, "zebra": None}
    assert result.mAP == 0.5


def test_curve_follows_the_ranking():
    truth, found = [(A, CAT, ""), (B, CAT, "")], [(FAR, CAT, 0.8), (A, CAT, 0.9), (B, CAT, 0.1)]
    curve = evaluate_voc(*data_set([(truth, found)]), "voc07").curves["cat"]
    assert curve.scores.tolist() == [0.9, 0.8, 0.1]
    assert curve.recall.tolist() == [0.5, 0.5, 1.0]
    assert curve.precision.tolist() == [1.0, 0.5, 2 / 3]
    assert curve.positives == 2


def test_equal_scores_rank_by_image():
    found = [(A, CAT, 0.5)]
    assert evaluate_voc(*data_set([([(A, CAT, "")], found), ([], found)]), "voc12").mAP == 1.0
    assert evaluate_voc(*data_set([([], found), ([(A, CAT, "")], found)]), "voc12").mAP == 0.5


def test_recall_grid_equals_matlab():
    assert list(MATLAB_GRID) == matlab_colon(0, 0.1, 1)
    assert MATLAB_GRID[3] > 0.3


def test_voc07_recall_of_three_tenths_misses_its_point():
    boxes = [(40.0 * n, 0.0, 40.0 * n + 20, 20.0) for n in range(10)]
    truth = [(box, CAT, "") for box in boxes]
    result = evaluate_voc(*data_set([(truth, [(box, CAT, 0.9) for box in boxes[:3]])]), "voc07")
    assert result.mAP == pytest.approx(3 / 11, abs=1e-15)  # at 0.0, 0.1 and 0.2


@pytest.mark.parametrize(("match", "expected"), [(np.greater_equal, 1.0), (np.greater, 0.0)])
def test_evaluate_by_rules_with_other_rules(match, expected):
    case = data_set([([(A, CAT, "")], [(HALF, CAT, 0.9)])])
    assert evaluate_by_rules(*case, Rules(match=match)).mAP == expected
    assert evaluate_by_rules(*case, Rules(ious=(0.51,))).mAP == 0.0


@pytest.mark.parametrize("labels", [[0], [4]])
def test_evaluate_voc_wrong_input_raises(labels):
    annotations, predictions = data_set([([], []), ([], [(A, labels[0], 0.5)])])
    with pytest.raises(ValueError, match=r"labels in 1\.\.3"):
        evaluate_voc(annotations, predictions, "voc07")
    with pytest.raises(ValueError, match="expected 2 predictions"):
        evaluate_voc(annotations, predictions[:1], "voc07")


@settings(max_examples=40, deadline=None)
@given(random_data_set)
def test_evaluate_voc_equals_the_matlab_code(images):
    annotations, predictions = data_set(images)
    for rules, literal in ((OFFICIAL["voc07"], ap_voc07), (OFFICIAL["voc12"], ap_voc12)):
        result = evaluate_by_rules(annotations, predictions, rules)
        for label, name in enumerate(annotations.classes, 1):
            rec, prec, npos = eval_det(annotations, predictions, label)
            assert result.curves[name].positives == npos
            if npos == 0:
                assert result.per_class[name] is None
                continue
            np.testing.assert_array_equal(result.curves[name].recall, rec)
            np.testing.assert_array_equal(result.curves[name].precision, np.nan_to_num(prec, nan=0.0))
            assert result.per_class[name] == pytest.approx(literal(rec, prec), abs=1e-12)


def test_average_precision_from_a_curve():
    curve = evaluate_voc(*data_set([([(A, CAT, "")], [(A, CAT, 0.9)])]), "voc07").curves["cat"]
    assert average_precision(curve, (0.0, 0.5)) == 1.0
