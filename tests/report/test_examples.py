from __future__ import annotations

import re

import numpy as np
import pytest

from detect.data.annotations import Annotations
from detect.data.masks import encode
from detect.evaluation.analysis.error_types import ERROR_TYPES, classify_errors
from detect.evaluation.predictions import Prediction
from detect.report.cards import CardMaker
from detect.report.examples import BEST, WORST, apply_thresholds, counts_at_thresholds, error_examples, whole_images
from detect.report.outlines import outline
from tests.evaluation.example_data import Found, Truth, data_set, random_scored_data_set
from tests.evaluation.test_masks import random_case

SQUARE, FAR, OFF = (0.0, 0.0, 100.0, 100.0), (150.0, 150.0, 250.0, 250.0), (0.0, 0.0, 100.0, 300.0)
ALL = {"cat": 0.0, "dog": 0.0, "zebra": 0.0}
SMALL = (200.0, 0.0, 220.0, 20.0)


@pytest.mark.parametrize(
    ("truth", "found", "kinds"),
    [
        ([], [], []),
        ([(SQUARE, 1, "")], [(SQUARE, 1, 0.9)], []),
        ([(SQUARE, 1, "difficult")], [(SQUARE, 1, 0.9)], []),
        ([(SQUARE, 1, "")], [], ["missed"]),
        ([], [(SQUARE, 1, 0.9)], ["background"]),
        ([(SQUARE, 1, "")], [(SQUARE, 2, 0.9)], ["classification"]),
        ([(SQUARE, 1, "")], [(OFF, 1, 0.9)], ["localisation"]),
        ([(SQUARE, 1, "")], [(OFF, 2, 0.9)], ["both", "missed"]),
        ([(SQUARE, 1, "")], [(SQUARE, 1, 0.9), (SQUARE, 1, 0.8)], ["duplicate"]),
        ([], [(SQUARE, 1, 0.4), (FAR, 1, 0.5), (FAR, 2, 0.3)], ["background"] * 3),
    ],
)
def test_error_examples_has_every_error(truth: list[Truth], found: list[Found], kinds: list[str]) -> None:
    annotations, predictions = data_set([(truth, found)])
    at_thresholds = apply_thresholds(classify_errors(annotations, predictions), ALL)
    assert [example.kind for example in error_examples(at_thresholds, 99)] == kinds


def test_error_examples_kinds_and_classes_take_turns() -> None:
    found: list[Found] = [(FAR, 1, 0.9), (FAR, 1, 0.8), (FAR, 2, 0.5)]
    truth: list[Truth] = [(SMALL, 3, ""), (SQUARE, 3, "")]
    annotations, predictions = data_set([(truth, found)])
    at_thresholds = apply_thresholds(classify_errors(annotations, predictions), ALL)
    chosen = [(one.kind, one.label, one.det_index, one.gt_index) for one in error_examples(at_thresholds, 4)]
    scores = at_thresholds.errors.columns.detections.scores
    assert [kind for kind, *_ in chosen] == ["background", "missed"] * 2
    assert [(label, scores[row]) for kind, label, row, _ in chosen if kind == "background"] == [(1, 0.9), (2, 0.5)]
    areas = [at_thresholds.errors.columns.ground_truth.areas[row] for kind, _, _, row in chosen if kind == "missed"]
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize(("threshold", "shown"), [(0.0, 3), (0.4, 2), (0.95, 1), (float("inf"), 1)])
def test_error_examples_below_the_threshold_are_left_out(threshold: float, shown: int) -> None:
    annotations, predictions = data_set([([], [(SQUARE, 1, 0.9), (FAR, 1, 0.45), (FAR, 2, 0.1)])])
    at_thresholds = apply_thresholds(classify_errors(annotations, predictions), dict.fromkeys(ALL, threshold))
    assert len(error_examples(at_thresholds, 99)) == shown


def test_whole_images() -> None:
    annotations, predictions = data_set(
        [
            ([(SQUARE, 1, "")], [(SQUARE, 1, 0.9)]),
            ([(SQUARE, 1, "")], [(FAR, 1, 0.9)]),
            ([(SQUARE, 1, ""), (FAR, 2, "")], [(SQUARE, 1, 0.9), (FAR, 2, 0.9)]),
            ([], []),
            ([(SQUARE, 1, "")], [(SQUARE, 1, 0.3)]),
        ]
    )
    at_thresholds = apply_thresholds(classify_errors(annotations, predictions), dict.fromkeys(ALL, 0.5))
    counts = counts_at_thresholds(at_thresholds)
    assert [column.tolist() for column in (counts.true_positives, counts.false_positives, counts.false_negatives)] == [
        [1, 0, 2, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 0, 0, 1],
    ]
    assert [(one.kind, one.image) for one in whole_images(at_thresholds)] == [
        (WORST, 1),
        (WORST, 4),
        (BEST, 2),
        (BEST, 0),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_examples_and_cards_agree_with_the_data(seed: int) -> None:
    annotations, predictions = drawn(seed)
    at_thresholds = apply_thresholds(classify_errors(annotations, predictions), dict.fromkeys(annotations.classes, 0.0))
    examples = error_examples(at_thresholds, 10**6)
    counts = {kind: sum(one.kind == kind for one in examples) for kind in ERROR_TYPES}
    assert counts == at_thresholds.errors.counts
    maker = CardMaker(annotations, at_thresholds, predictions)
    for example in examples:
        truth, predicted = annotations[example.image], predictions[example.image]
        if example.det_index >= 0:
            corners = at_thresholds.errors.columns.detections.boxes.corners[example.det_index]
            assert ((np.abs(predicted.boxes - corners).max(axis=1) < 1e-9) & (predicted.labels == example.label)).any()
        if example.gt_index >= 0:
            corners = at_thresholds.errors.columns.ground_truth.boxes.corners[example.gt_index]
            assert (np.abs(truth.boxes - corners).max(axis=1) < 1e-9).any()
        card = maker.card(example, 0)
        assert annotations.classes[example.label - 1] in card.classes
        assert sum(mark.css_class.endswith("highlighted") for mark in card.detections.marks) == (example.det_index >= 0)
        assert sum(mark.css_class.endswith("highlighted") for mark in card.ground_truth.marks) == (
            example.gt_index >= 0
        )


def drawn(seed: int) -> tuple[Annotations, list[Prediction]]:
    return random_scored_data_set(np.random.default_rng(seed), 0.25)


@pytest.mark.parametrize("seed", range(5))
def test_marks_have_the_outline_of_their_own_mask(seed: int) -> None:
    """The box of every object and detection is the one around its mask."""
    annotations, predictions = random_case(seed)
    at_thresholds = apply_thresholds(classify_errors(annotations, predictions), dict.fromkeys(annotations.classes, 0.0))
    maker = CardMaker(annotations, at_thresholds, predictions)
    cards = [maker.card(example, 0) for example in whole_images(at_thresholds)]
    marks = [mark for card in cards for mark in (*card.ground_truth.marks, *card.detections.marks)]
    assert any(mark.outline for mark in marks)
    for mark in marks:
        points = np.array([float(number) for number in re.findall(r"[0-9.]+", mark.outline)]).reshape(-1, 2)
        assert len(points) == 0 if mark.width == 0 else len(points) > 0
        if len(points):
            corners = [mark.x, mark.y, mark.x + mark.width, mark.y + mark.height]
            assert [*points.min(0), *points.max(0)] == pytest.approx(corners, abs=1)


def test_an_outline_is_the_edge_of_the_mask() -> None:
    bitmap = np.zeros((20, 30), bool)
    assert outline(encode(bitmap), (20, 30)) == ""
    bitmap[3:9, 5:25] = True
    assert outline(encode(bitmap), (20, 30)) == "M5.5,3.5L5.5,8.5L24.5,8.5L24.5,3.5Z"
