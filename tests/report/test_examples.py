from __future__ import annotations

import numpy as np
import pytest

from detect.data.annotations import Annotations
from detect.evaluation.analysis.error_types import KINDS, find_errors
from detect.evaluation.predictions import Prediction
from detect.report.cards import CardMaker
from detect.report.examples import BEST, WORST, error_examples, judge, tallies, whole_images
from tests.evaluation.cases import Found, Truth, data_set, drawn_data_set

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
def test_every_error_is_an_example(truth: list[Truth], found: list[Found], kinds: list[str]) -> None:
    annotations, predictions = data_set([(truth, found)])
    judged = judge(find_errors(annotations, predictions), ALL)
    assert [example.kind for example in error_examples(judged, 99)] == kinds


def test_kinds_and_classes_take_turns() -> None:
    found: list[Found] = [(FAR, 1, 0.9), (FAR, 1, 0.8), (FAR, 2, 0.5)]
    truth: list[Truth] = [(SMALL, 3, ""), (SQUARE, 3, "")]
    annotations, predictions = data_set([(truth, found)])
    judged = judge(find_errors(annotations, predictions), ALL)
    chosen = [(one.kind, one.label, one.found, one.truth) for one in error_examples(judged, 4)]
    scores = judged.errors.case.found.scores
    assert [kind for kind, *_ in chosen] == ["background", "missed"] * 2
    assert [(label, scores[row]) for kind, label, row, _ in chosen if kind == "background"] == [(1, 0.9), (2, 0.5)]
    areas = [judged.errors.case.truth.areas[row] for kind, _, _, row in chosen if kind == "missed"]
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize(("threshold", "shown"), [(0.0, 3), (0.4, 2), (0.95, 1), (float("inf"), 1)])
def test_what_nobody_would_see_is_no_example(threshold: float, shown: int) -> None:
    annotations, predictions = data_set([([], [(SQUARE, 1, 0.9), (FAR, 1, 0.45), (FAR, 2, 0.1)])])
    judged = judge(find_errors(annotations, predictions), dict.fromkeys(ALL, threshold))
    assert len(error_examples(judged, 99)) == shown


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
    judged = judge(find_errors(annotations, predictions), dict.fromkeys(ALL, 0.5))
    assert [column.tolist() for column in tallies(judged)] == [[1, 0, 2, 0, 0], [0, 1, 0, 0, 0], [0, 1, 0, 0, 1]]
    assert [(one.kind, one.image) for one in whole_images(judged)] == [(WORST, 1), (WORST, 4), (BEST, 2), (BEST, 0)]


@pytest.mark.parametrize("seed", range(5))
def test_examples_are_true_of_their_images(seed: int) -> None:
    annotations, predictions = drawn(seed)
    judged = judge(find_errors(annotations, predictions), dict.fromkeys(annotations.classes, 0.0))
    examples = error_examples(judged, 10**6)
    counts = {kind: sum(one.kind == kind for one in examples) for kind in KINDS}
    assert counts == judged.errors.counts
    maker = CardMaker(annotations, judged)
    for example in examples:
        truth, said = annotations[example.image], predictions[example.image]
        if example.found >= 0:
            corners = judged.errors.case.found.boxes.corners[example.found]
            assert ((np.abs(said.boxes - corners).max(axis=1) < 1e-9) & (said.labels == example.label)).any()
        if example.truth >= 0:
            corners = judged.errors.case.truth.boxes.corners[example.truth]
            assert (np.abs(truth.boxes - corners).max(axis=1) < 1e-9).any()
        card = maker.card(example, 0)
        assert annotations.classes[example.label - 1] in card.classes
        assert sum(mark.look.endswith("meant") for mark in card.found.marks) == (example.found >= 0)
        assert sum(mark.look.endswith("meant") for mark in card.truth.marks) == (example.truth >= 0)


def drawn(seed: int) -> tuple[Annotations, list[Prediction]]:
    return drawn_data_set(np.random.default_rng(seed), 0.25)
