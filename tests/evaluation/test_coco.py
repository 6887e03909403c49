from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from detect.evaluation.coco import METRIC_NAMES, evaluate_coco, evaluate_coco_json
from tests.evaluation.example_data import data_set, random_data_set
from tests.evaluation.reference_pycocotools import coco_files, run_coco_eval

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
FAR = (0.0, 200.0, 50.0, 250.0)
CAT, DOG = 1, 2


def close(numbers: dict[str, float | None]) -> dict[str, Any]:
    return {name: value if value is None else pytest.approx(value, abs=1e-12) for name, value in numbers.items()}


TABLE = {
    "nothing to find, nothing found": ([], [], None, None),
    "nothing to find, something found": ([], [(A, CAT, 0.9)], None, None),
    "nothing found": ([(A, CAT, "")], [], 0.0, 0.0),
    "found": ([(A, CAT, "")], [(A, CAT, 0.9)], 1.0, 1.0),
    "IoU 0.75": ([(A, CAT, "")], [((0.0, 0.0, 100.0, 75.0), CAT, 0.9)], 0.6, 1.0),  # 0.50, 0.55 .. 0.75 of ten
    "a false positive first": ([(A, CAT, "")], [(A, CAT, 0.5), (FAR, CAT, 0.9)], 0.5, 0.5),
    "a crowd is not missed": ([(A, CAT, ""), (B, CAT, "crowd")], [(A, CAT, 0.5)], 1.0, 1.0),
    "in a crowd: nothing": ([(A, CAT, ""), (B, CAT, "crowd")], [(A, CAT, 0.5), (B, CAT, 0.9)], 1.0, 1.0),
    "a difficult object is a crowd": (
        [(A, CAT, ""), (B, CAT, "difficult")],
        [(A, CAT, 0.5), (B, CAT, 0.9), (B, CAT, 0.8)],
        1.0,
        1.0,
    ),
    "two classes": ([(A, CAT, ""), (B, DOG, "")], [(A, CAT, 0.5)], 0.5, 0.5),
}


@pytest.mark.parametrize(("truth", "found", "ap", "ap50"), TABLE.values(), ids=TABLE)
def test_evaluate_coco_one_image_equals_by_hand(truth, found, ap, ap50):
    numbers = evaluate_coco(*data_set([(truth, found)])).metrics
    assert tuple(numbers) == METRIC_NAMES
    assert close({"AP": ap, "AP50": ap50}) == {name: numbers[name] for name in ("AP", "AP50")}


def test_evaluate_coco_takes_areas_of_the_annotations():
    truth = [((0.0, 0.0, 33.0, 33.0), CAT, "")]  # 1089 in the box, 980.1 in the annotation: small
    numbers = evaluate_coco(*data_set([(truth, [])])).metrics
    assert (numbers["APs"], numbers["APm"], numbers["APl"]) == (0.0, None, None)


def test_no_images():
    result = evaluate_coco(*data_set([]))
    assert result.metrics == dict.fromkeys(METRIC_NAMES)
    assert result.per_class == {"cat": None, "dog": None, "zebra": None}


def test_per_class():
    truth, found = [(A, CAT, ""), (B, DOG, "")], [(A, CAT, 0.5), (A, 3, 0.9)]
    result = evaluate_coco(*data_set([(truth, found)]))
    assert result.per_class == {"cat": pytest.approx(1.0, abs=1e-12), "dog": 0.0, "zebra": None}


def test_evaluate_coco_prints_nothing(capsys):
    evaluate_coco(*data_set([([(A, CAT, "")], [])]))
    assert capsys.readouterr() == ("", "")


def test_evaluate_coco_json_with_annotation_id_zero_and_missing_fields():
    dataset = {
        "images": [{"id": 5}],
        "categories": [{"id": 2, "name": "cat"}],
        "annotations": [{"id": 0, "image_id": 5, "category_id": 2, "bbox": [0, 0, 100, 100]}],
    }
    result = {"image_id": 5, "category_id": 2, "bbox": [0, 0, 100, 100], "score": 0.5}
    assert evaluate_coco_json(dataset, [result]).metrics["APl"] == pytest.approx(1.0, abs=1e-12)
    assert dataset["annotations"] == [{"id": 0, "image_id": 5, "category_id": 2, "bbox": [0, 0, 100, 100]}]


def test_evaluate_coco_json_unlisted_rows_are_left_out():
    box = {"bbox": [0, 0, 100, 100], "score": 0.5}
    rows = [{"image_id": image, "category_id": category, **box} for image, category in ((5, 2), (6, 2), (5, 3))]
    dataset = {"images": [{"id": 5}], "categories": [{"id": 2, "name": "cat"}], "annotations": rows}
    for results, ap in ((rows, 1.0), (rows[1:], 0.0)):
        result = evaluate_coco_json(dataset, results)
        assert result.metrics["AP"] == pytest.approx(ap, abs=1e-12)
        assert list(result.per_class) == ["cat"]


def test_limits_apply_per_class_and_image_and_name_the_recalls():
    truth = [(A, CAT, ""), (B, CAT, ""), (A, DOG, "")]
    found = [(A, CAT, 0.9), (B, CAT, 0.8), (A, DOG, 0.1)]
    numbers = evaluate_coco(*data_set([(truth, found)]), limits=(2, 1)).metrics
    assert list(numbers) == ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR2", "ARs", "ARm", "ARl"]
    assert (numbers["AR1"], numbers["AR2"]) == (0.75, 1.0)
    assert numbers["AP"] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("limits", [(), (0, 10), (-1,)])
def test_evaluate_coco_invalid_limits_raise(limits):
    with pytest.raises(ValueError, match="limits: expected numbers of 1 or more"):
        evaluate_coco(*data_set([]), limits=limits)


def coco_metrics(scorer: Any) -> dict[str, float | None]:
    return {name: None if value == -1 else value for name, value in zip(METRIC_NAMES, scorer.stats[:12], strict=True)}


@settings(max_examples=30, deadline=None)
@given(random_data_set)
def test_evaluate_coco_equals_pycocotools(images):
    annotations, predictions = data_set(images)
    dataset, results = coco_files(annotations, predictions)
    ours = evaluate_coco(annotations, predictions)
    assert ours == evaluate_coco_json(dataset, results)
    assert ours.metrics == close(coco_metrics(run_coco_eval(dataset, results)))


@settings(max_examples=30, deadline=None)
@given(random_data_set)
def test_evaluate_coco_equals_faster_coco_eval(images):
    faster = pytest.importorskip("faster_coco_eval")
    annotations, predictions = data_set(images)
    dataset, results = coco_files(annotations, predictions)
    if results and dataset["annotations"]:
        scorer = run_coco_eval(dataset, results, kind_of_coco=faster.COCO, kind_of_scorer=faster.COCOeval_faster)
        assert evaluate_coco(annotations, predictions).metrics == close(coco_metrics(scorer))
