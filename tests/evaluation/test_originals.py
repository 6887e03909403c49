"""The scorers compared with the originals on 200 random cases that are fixed, and on 200 that are new in every run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from detect.data.annotations import Annotations
from detect.evaluation.coco import METRIC_NAMES, evaluate_coco, evaluate_coco_json
from detect.evaluation.coco_tables import tabulate
from detect.evaluation.columns import as_coco_files
from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import PY_FASTER_RCNN
from detect.evaluation.voc import OFFICIAL, evaluate_by_rules
from tests.evaluation.example_data import random_scored_data_set
from tests.evaluation.reference_matlab import ap_voc07, ap_voc12, eval_det
from tests.evaluation.reference_py_faster_rcnn import result_lines, voc_eval
from tests.evaluation.reference_pycocotools import coco_files, coco_tables_of, run_coco_eval

CASES = 200
FIXED = 2026
LIMITS = [(1, 10, 100), (1, 10, 100), (1, 10, 100), (1, 2, 3), (2,), (4, 1), (1, 3, 10, 100), (100, 300)]

# Fresh ones are other cases in every run, which would make a failure of CI one of its luck.
fixed_and_fresh = pytest.mark.parametrize(
    "fresh", [pytest.param(False, id="fixed"), pytest.param(True, id="fresh", marks=pytest.mark.long)]
)


def random_cases(fresh: bool, units: list[float]) -> Iterator[tuple[str, Annotations, list[Prediction]]]:
    """Yield cases, each with a name for messages: its seed, which reproduces it."""
    start = int(np.random.SeedSequence().generate_state(1)[0]) if fresh else FIXED
    for seed in range(start, start + CASES):
        rng = np.random.default_rng(seed)
        yield f"seed {seed}", *random_scored_data_set(rng, float(rng.choice(units)))


def known(values: np.ndarray) -> float | None:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else None


def assert_close(ours: np.ndarray, theirs: np.ndarray, case: str) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-12, err_msg=case)


def assert_same(ours: dict[str, float | None], theirs: dict[str, float | None], case: str) -> None:
    assert list(ours) == list(theirs), case
    assert_close(np.array(list(ours.values()), float), np.array(list(theirs.values()), float), case)  # None: NaN


@fixed_and_fresh
def test_random_cases_equal_pycocotools(fresh):
    seen = set()
    for index, (case, truth, found) in enumerate(random_cases(fresh, [0.25, 0.1])):
        limits = LIMITS[index % len(LIMITS)]
        dataset, results = coco_files(truth, found)
        scorer = run_coco_eval(dataset, results, limits)
        theirs, ours = coco_tables_of(scorer), tabulate(as_coco_files(truth, found), sorted(limits))
        assert_close(ours.precision, theirs.precision, case)
        assert_close(ours.recall, theirs.recall, case)

        result = evaluate_coco(truth, found, limits)
        assert result == evaluate_coco_json(dataset, results, limits), case
        per_class = [known(theirs.precision[k, 0]) for k in range(len(truth.classes))]
        assert_same(result.per_class, dict(zip(truth.classes, per_class, strict=True)), case)
        if limits == (1, 10, 100):
            stats = {
                name: None if value == -1 else value for name, value in zip(METRIC_NAMES, scorer.stats, strict=True)
            }
            assert_same(result.metrics, stats, case)
            seen |= {None if value is None else round(value, 3) for value in result.metrics.values()}
    assert len(seen) > 100  # the cases are not all alike


@fixed_and_fresh
def test_random_cases_equal_matlab(fresh):
    for case, truth, found in random_cases(fresh, [0.25]):
        for rules, literal in ((OFFICIAL["voc07"], ap_voc07), (OFFICIAL["voc12"], ap_voc12)):
            theirs: dict[str, float | None] = {}
            for label, name in enumerate(truth.classes, 1):
                rec, prec, npos = eval_det(truth, found, label)
                theirs[name] = literal(rec, prec) if npos else None
            assert_same(evaluate_by_rules(truth, found, rules).per_class, theirs, case)


@fixed_and_fresh
def test_random_cases_equal_py_faster_rcnn(fresh):
    for case, truth, found in random_cases(fresh, [0.25]):
        theirs = {
            name: voc_eval(truth, result_lines(found, label, rounded=False), label)
            for label, name in enumerate(truth.classes, 1)
        }
        assert_same(evaluate_by_rules(truth, found, PY_FASTER_RCNN).per_class, theirs, case)
