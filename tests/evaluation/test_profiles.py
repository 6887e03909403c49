from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from detect.evaluation.coco import evaluate_coco
from detect.evaluation.profiles import compare_profiles, gain
from detect.evaluation.rules import PROFILES
from detect.evaluation.score import evaluate, write_score
from detect.evaluation.score_tables import change_table, profile_table
from detect.evaluation.voc import evaluate_voc
from tests.evaluation.example_data import data_set, random_scored_data_set

A, HALF = (0.0, 0.0, 100.0, 100.0), (0.0, 0.0, 100.0, 50.0)
CASE = [([(A, 1, ""), (A, 2, "")], [(HALF, 1, 0.9), (A, 2, 0.8)])]  # the cat is found at an IoU of exactly 0.5


def printed_rows(table):
    text = io.StringIO()
    Console(width=200, file=text).print(table)
    return [" ".join(line.replace("│", " ").split()) for line in text.getvalue().splitlines()]


def test_no_images():
    scores = compare_profiles(*data_set([]))
    assert list(scores) == list(PROFILES)
    assert {score.mAP for score in scores.values()} == {None}
    assert {change.mAP for score in scores.values() for change in score.changes} == {None}
    assert "voc07 -> voc12 -" in printed_rows(change_table(scores))
    assert printed_rows(profile_table(scores))[-2] == " ".join(["mAP", *"-" * len(PROFILES)])


def test_change_table_names_the_rule_and_the_classes():
    scores = compare_profiles(*data_set(CASE))
    strict, grid = scores["py-faster-rcnn"].changes
    assert (strict.rule_name, strict.before, strict.after) == ("match", "overlap >= 0.5", "overlap > 0.5")
    assert strict.mAP == pytest.approx(-0.5)
    assert strict.per_class == {"cat": pytest.approx(-1.0), "dog": 0.0, "zebra": None}
    assert (grid.rule_name, grid.mAP) == ("recall_grid", 0.0)
    rows = printed_rows(change_table(scores))
    assert "overlap >= 0.5 -> overlap > 0.5 -50.00 cat -100.00" in rows
    assert "11 recalls -> 11 recalls of numpy.arange +0.00 none" in rows
    assert any(row.startswith("cat 100.0 100.0 0.0 0.0 100.0 10.0") for row in printed_rows(profile_table(scores)))


def test_change_table_many_classes_are_counted():
    annotations, predictions = data_set(CASE)
    score = compare_profiles(annotations, predictions)["py-faster-rcnn"]
    moves: dict[str, float | None] = {f"class {n}": 0.01 * n for n in range(1, 9)}
    changed = type(score)(0.0, moves, "voc07", (type(score.changes[0])("match", "a", "b", 0.045, moves),))
    rows = printed_rows(change_table({"voc07": score, "other": changed}))
    assert "a -> b +4.50 class 8 +8.00, class 7 +7.00, class 6 +6.00, class 5 +5.00, class 4 +4.00, 3 more" in rows


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_changes_add_up_to_the_difference(seed):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    scores = compare_profiles(annotations, predictions)
    assert scores["voc07"].per_class == evaluate_voc(annotations, predictions, "voc07").per_class
    assert scores["coco-ap"].mAP == pytest.approx(evaluate_coco(annotations, predictions).metrics["AP"], abs=1e-12)
    for score in scores.values():
        if score.base is None:
            assert score.changes == ()
            continue
        for name, ap in score.per_class.items():
            moves = [change.per_class[name] for change in score.changes]
            unsplit = gain(scores[score.base].per_class[name], ap)
            assert {move is None for move in moves} == {unsplit is None}
            assert sum(move or 0.0 for move in moves) == pytest.approx(unsplit or 0.0, abs=1e-12)


def test_write_score_with_profiles_adds_one_key(tmp_path):
    annotations, predictions = data_set(CASE)
    score = evaluate(annotations, predictions, "voc07")
    write_score(tmp_path / "plain.json", score)
    write_score(tmp_path / "compared.json", score, compare_profiles(annotations, predictions))
    plain, compared = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "compared"))
    profiles = compared.pop("profiles")
    assert compared == plain
    assert list(profiles) == list(PROFILES)
    ap = pytest.approx(1.0)
    per_class = {"cat": ap, "dog": ap, "zebra": None}
    assert profiles["voc07"] == {"mAP": ap, "per_class": per_class, "base": None, "changes": []}
    assert profiles["py-faster-rcnn"]["base"] == "voc07"
    assert profiles["py-faster-rcnn"]["changes"][0]["per_class"]["cat"] == pytest.approx(-1.0)
    assert list(profiles["voc12"]["changes"][0]) == ["rule", "was", "now", "mAP", "per_class"]
    assert {change["rule"] for change in profiles["coco-ap50"]["changes"]} == {
        "recall_grid",
        "limit",
        "second_choice",
        "regular_first",
        "inside_lenient",
        "last_of_equals",
        "layout",
    }
