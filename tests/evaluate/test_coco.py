from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import given, settings
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detect.data.annotations import Annotations
from detect.evaluation.coco import NUMBERS, evaluate_coco, evaluate_coco_json
from detect.evaluation.predictions import Prediction
from tests.evaluate.cases import CLASSES, data_set, random_data_set

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
FAR = (0.0, 200.0, 50.0, 250.0)
CAT, DOG = 1, 2


def coco_files(annotations: Annotations, predictions: list[Prediction]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The data set and results as a COCO user would write them; annotation ids from 0."""
    dataset: dict[str, Any] = {
        "images": [{"id": int(i)} for i in annotations.image_ids],
        "categories": [{"id": int(c), "name": n} for c, n in zip(annotations.category_ids, CLASSES, strict=True)],
        "annotations": [],
    }
    results = []
    for place, prediction in enumerate(predictions):
        image = annotations[place]
        for box, label, area, crowd, difficult in zip(
            image.boxes, image.labels, image.areas, image.crowd, image.difficult, strict=True
        ):
            x1, y1, x2, y2 = map(float, box)
            dataset["annotations"].append(
                {
                    "id": len(dataset["annotations"]),
                    "image_id": image.image_id,
                    "category_id": int(annotations.category_ids[label - 1]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(area),
                    "iscrowd": int(crowd or difficult),
                }
            )
        for (x1, y1, x2, y2), label, score in zip(
            prediction.boxes.tolist(), prediction.labels, prediction.scores.tolist(), strict=True
        ):
            category = int(annotations.category_ids[label - 1])
            row = {"image_id": image.image_id, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            results.append({**row, "score": score})
    return dataset, results


def other_scorer(
    dataset: dict[str, Any], results: list[dict[str, Any]], kind_of_coco: Any, kind_of_scorer: Any
) -> dict[str, float | None]:
    """The twelve numbers by a library's own path: ids from 1, loadRes, the three steps."""
    renumbered = {**dataset, "annotations": [{**row, "id": row["id"] + 1} for row in dataset["annotations"]]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = kind_of_coco()
        truth.dataset = renumbered
        truth.createIndex()
        scorer = kind_of_scorer(truth, truth.loadRes([dict(row) for row in results]), "bbox")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return {name: None if value == -1 else value for name, value in zip(NUMBERS, scorer.stats[:12], strict=True)}


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
def test_one_photo(truth, found, ap, ap50):
    numbers = evaluate_coco(*data_set([(truth, found)])).numbers
    assert tuple(numbers) == NUMBERS
    assert close({"AP": ap, "AP50": ap50}) == {name: numbers[name] for name in ("AP", "AP50")}


def test_areas_come_from_the_annotations():
    truth = [((0.0, 0.0, 33.0, 33.0), CAT, "")]  # 1089 in the box, 980.1 in the annotation: small
    numbers = evaluate_coco(*data_set([(truth, [])])).numbers
    assert (numbers["APs"], numbers["APm"], numbers["APl"]) == (0.0, None, None)


def test_no_photos():
    result = evaluate_coco(*data_set([]))
    assert result.numbers == dict.fromkeys(NUMBERS)
    assert result.per_class == {"cat": None, "dog": None, "zebra": None}


def test_per_class():
    truth, found = [(A, CAT, ""), (B, DOG, "")], [(A, CAT, 0.5), (A, 3, 0.9)]
    result = evaluate_coco(*data_set([(truth, found)]))
    assert result.per_class == {"cat": pytest.approx(1.0, abs=1e-12), "dog": 0.0, "zebra": None}


def test_prints_nothing(capsys):
    evaluate_coco(*data_set([([(A, CAT, "")], [])]))
    assert capsys.readouterr() == ("", "")


def test_annotation_id_zero_and_missing_fields():
    dataset = {
        "images": [{"id": 5}],
        "categories": [{"id": 2, "name": "cat"}],
        "annotations": [{"id": 0, "image_id": 5, "category_id": 2, "bbox": [0, 0, 100, 100]}],
    }
    result = {"image_id": 5, "category_id": 2, "bbox": [0, 0, 100, 100], "score": 0.5}
    assert evaluate_coco_json(dataset, [result]).numbers["APl"] == pytest.approx(1.0, abs=1e-12)
    assert dataset["annotations"] == [{"id": 0, "image_id": 5, "category_id": 2, "bbox": [0, 0, 100, 100]}]


@settings(max_examples=30, deadline=None)
@given(random_data_set)
def test_equals_the_libraries(photos):
    annotations, predictions = data_set(photos)
    dataset, results = coco_files(annotations, predictions)
    ours = evaluate_coco(annotations, predictions)
    assert ours == evaluate_coco_json(dataset, results)
    if results:  # loadRes refuses an empty list
        assert ours.numbers == close(other_scorer(dataset, results, COCO, COCOeval))


@settings(max_examples=30, deadline=None)
@given(random_data_set)
def test_equals_faster_coco_eval(photos):
    faster = pytest.importorskip("faster_coco_eval")
    annotations, predictions = data_set(photos)
    dataset, results = coco_files(annotations, predictions)
    if results and dataset["annotations"]:
        theirs = other_scorer(dataset, results, faster.COCO, faster.COCOeval_faster)
        assert evaluate_coco(annotations, predictions).numbers == close(theirs)
