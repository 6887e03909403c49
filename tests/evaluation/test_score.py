from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from detect.evaluation.coco import METRIC_NAMES
from detect.evaluation.score import evaluate, write_score
from detect.evaluation.score_tables import score_table
from tests.evaluation.example_data import data_set

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
CASE = [([(A, 1, ""), (B, 2, "")], [(A, 1, 0.9), ((0.0, 0.0, 100.0, 60.0), 1, 0.8)])]


@pytest.mark.parametrize(
    ("metric", "images", "name", "primary", "ap50"),
    [
        ("voc07", [], "mAP", None, None),
        ("coco", [], "AP", None, None),
        ("voc07", CASE, "mAP", 0.5, 0.5),
        ("voc12", CASE, "mAP", 0.5, 0.5),
        ("coco", CASE, "AP", 0.5, 0.5),
    ],
)
def test_primary_metric(metric, images, name, primary, ap50):
    score = evaluate(*data_set(images), metric)
    assert score.primary_name == name
    assert score.primary == pytest.approx(primary)
    assert score.ap50 == pytest.approx(ap50)


def test_write_score_of_voc(tmp_path):
    write_score(tmp_path / "score.json", evaluate(*data_set(CASE), "voc07"))
    content = json.loads((tmp_path / "score.json").read_text())
    seconds = content.pop("seconds")
    per_class = {"cat": pytest.approx(1.0), "dog": 0.0, "zebra": None}
    assert content == {"metric": "voc07", "mAP": pytest.approx(0.5), "per_class": per_class, "images": 1}
    assert 0 < seconds < 60


def test_to_json_of_coco():
    content = evaluate(*data_set(CASE), "coco").to_dict()
    assert list(content) == ["metric", *METRIC_NAMES, "per_class", "images", "seconds"]
    assert content["AP75"] == pytest.approx(0.5)
    assert content["APs"] is None
    assert content["per_class"] == {"cat": pytest.approx(1.0), "dog": 0.0, "zebra": None}


@pytest.mark.parametrize(
    ("metric", "images", "rows"),
    [
        ("voc07", [], [["cat", "-"], ["zebra", "-"], ["mAP", "-"]]),
        ("voc07", CASE, [["cat", "100.0"], ["dog", "0.0"], ["mAP", "50.0"]]),
        ("coco", CASE, [["cat", "100.0"], ["zebra", "-"], ["AP", "50.0"], ["APs", "-"], ["ARm", "50.0"]]),
    ],
)
def test_score_table_rows(metric, images, rows):
    text = io.StringIO()
    Console(width=60, file=text).print(score_table(evaluate(*data_set(images), metric)))
    printed_rows = [line.replace("│", " ").split() for line in text.getvalue().splitlines()]
    assert all(row in printed_rows for row in rows)
