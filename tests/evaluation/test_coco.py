from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.formats.coco_json import id_warning
from detect.errors import UserError
from detect.evaluation.coco import METRIC_NAMES, evaluate_coco, evaluate_coco_json, label_categories
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


@pytest.mark.parametrize("name", ["images", "categories", "annotations"])
def test_evaluate_coco_json_without_a_list_is_one_line(name):
    dataset: dict[str, Any] = {"images": [], "categories": [], "annotations": []}
    dataset[name[:-1]] = dataset.pop(name)
    message = f'dataset: expected "{name}", found nothing (did you mean "{name[:-1]}"?)'
    with pytest.raises(UserError) as raised:
        evaluate_coco_json(dataset, [])
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("images", "id"),
        ("categories", "id"),
        ("categories", "name"),
        ("annotations", "image_id"),
        ("annotations", "bbox"),
        ("results", "category_id"),
        ("results", "score"),
    ],
)
def test_evaluate_coco_json_with_a_row_without_a_key_is_one_line(name, key):
    row = {"image_id": 5, "category_id": 2, "bbox": [0, 0, 100, 100]}
    content: dict[str, Any] = {
        "images": [{"id": 5}, {"id": 6}],
        "categories": [{"id": 2, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [row, dict(row)],
        "results": [{**row, "score": 0.5}, {**row, "score": 0.4}],
    }
    del content[name][1][key]
    with pytest.raises(UserError) as raised:
        evaluate_coco_json(content, content["results"])
    assert str(raised.value).startswith(f'{name}: row 2: expected "{key}", found nothing')


@pytest.mark.parametrize("area", [{}, {"area": None}])
def test_without_an_area_the_area_of_the_box_counts(area):
    row = {"image_id": 5, "category_id": 2, "bbox": [0, 0, 10, 10], "iscrowd": None, **area}
    dataset = {"images": [{"id": 5}], "categories": [{"id": 2, "name": "cat"}], "annotations": [row]}
    metrics = evaluate_coco_json(dataset, []).metrics
    assert [metrics[name] for name in ("AP", "APs", "APm")] == [0.0, 0.0, None]


@pytest.mark.parametrize(
    ("categories", "labels"),
    [
        ([], []),
        ([(3, "fish")], ["fish"]),
        ([(0, "fish"), (2, "crab"), (1, "fish")], ["fish (id 0)", "crab", "fish (id 1)"]),
        ([(1, "a"), (2, "a"), (3, "a (id 1)")], ["a (id 1)", "a (id 2)", "a (id 1) (id 3)"]),
    ],
)
def test_categories_of_one_name_are_labelled_by_their_ids(categories, labels):
    assert label_categories(categories) == labels


names = st.sampled_from(["a", "b", "a (id 1)", "a (id 1) (id 1)", "b (id 2)", ""])


@given(st.lists(st.tuples(st.integers(0, 3), names), unique=True))
def test_no_two_categories_have_one_label(categories):
    labels = label_categories(categories)
    assert len(set(labels)) == len(categories)
    assert all(label.startswith(name) for label, (_, name) in zip(labels, categories, strict=True))


def test_both_of_two_categories_of_one_name_are_scored():
    rows = [{"image_id": 5, "category_id": category, "bbox": [0, 0, 100, 100], "score": 0.5} for category in (7, 2)]
    categories = [{"id": id_, "name": name} for id_, name in ((7, "fish"), (4, "crab"), (2, "fish"))]
    dataset = {"images": [{"id": 5}], "categories": categories, "annotations": rows}
    result = evaluate_coco_json(dataset, rows[:1])
    assert list(result.per_class.items()) == [
        ("fish (id 7)", pytest.approx(1.0, abs=1e-12)),
        ("crab", None),
        ("fish (id 2)", 0.0),
    ]
    annotations, predictions = data_set([([(A, CAT, ""), (B, DOG, "")], [(A, CAT, 0.5)])])
    one_name = replace(annotations, classes=("pet", "pet", "zebra"))
    per_class = evaluate_coco(one_name, predictions).per_class
    pets = [f"pet (id {id_})" for id_ in annotations.category_ids[:2]]
    assert list(per_class.items()) == [(pets[0], pytest.approx(1.0, abs=1e-12)), (pets[1], 0.0), ("zebra", None)]


@pytest.mark.parametrize(
    ("ids", "pycocotools_ap", "causes"),
    [
        ([1, 2], 1.0, None),
        ([0, 1], 0.5, "pycocotools never counts the box with the id 0 as found"),
        ([4, 4], 0.5, "of 2 boxes that share an id, it reads only the last of each id"),
    ],
)
def test_ids_with_which_pycocotools_scores_otherwise_are_said(ids, pycocotools_ap, causes):
    boxes = ([0.0, 0.0, 100.0, 100.0], [200.0, 0.0, 100.0, 100.0])
    fields = {"image_id": 5, "category_id": 1, "area": 1e4, "iscrowd": 0}
    rows: list[dict[str, Any]] = [{**fields, "id": id_, "bbox": box} for id_, box in zip(ids, boxes, strict=True)]
    dataset = {"images": [{"id": 5}], "categories": [{"id": 1, "name": "cat"}], "annotations": rows}
    results = [{"image_id": 5, "category_id": 1, "bbox": box, "score": 0.4 + 0.1 * k} for k, box in enumerate(boxes)]
    # run_coco_eval counts ids from 1: it adds 1 to those that are here.
    shifted = {**dataset, "annotations": [{**row, "id": row["id"] - 1} for row in rows]}
    assert coco_metrics(run_coco_eval(shifted, results))["AP"] == pytest.approx(pycocotools_ap, abs=0.01)
    assert evaluate_coco_json(dataset, results).metrics["AP"] == pytest.approx(1.0, abs=1e-12)
    line = None if causes is None else f"annotation ids: {causes}; its metrics equal these with ids from 1 on"
    assert id_warning(rows) == line


def test_no_line_about_ids_that_are_missing_or_no_numbers():
    assert id_warning([]) is None
    assert id_warning([{}, {}, {"id": None}, {"id": "0"}, {"id": [0]}]) is None


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
