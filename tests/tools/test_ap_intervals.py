"""tools/ap_intervals.py: the APs are those of the evaluation, and masks that cannot be scored are named."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from detect.evaluation.coco import evaluate_coco, evaluate_coco_masks
from detect.evaluation.voc import VocMetric, evaluate_voc
from tests.evaluation.test_masks import random_case
from tools.ap_intervals import MASK_RULES, RULES, choose_rules, intervals


@pytest.mark.parametrize("seed", range(3))
def test_aps_are_cocos(seed: int) -> None:
    annotations, predictions = random_case(seed)
    boxes = evaluate_coco(annotations, predictions).metrics
    masks = evaluate_coco_masks(annotations, predictions).metrics
    rules, notes = choose_rules("coco", annotations, predictions)
    assert notes == ()
    results = intervals(annotations, predictions, rules)
    aps = {
        f"{kind} {name}": metrics[name]
        for kind, metrics in (("boxes", boxes), ("masks", masks))
        for name in ("AP", "AP50")
    }
    assert {name: interval and interval.value for name, interval in results.items()} == {
        name: None if ap is None else pytest.approx(ap) for name, ap in aps.items()
    }


def test_masks_that_cannot_be_scored_are_named() -> None:
    annotations, predictions = random_case(0)
    assert set(MASK_RULES) <= set(choose_rules("coco", annotations, predictions)[0])
    without = [replace(prediction, masks=None) for prediction in predictions]
    assert choose_rules("coco", annotations, without) == (RULES["coco"], ())
    assert choose_rules("voc07", annotations, predictions) == (RULES["voc07"], ())
    first = next(index for index, prediction in enumerate(predictions) if len(prediction))
    partly = [*predictions[:first], without[first], *predictions[first + 1 :]]
    rules, notes = choose_rules("coco", annotations, partly)
    assert rules == RULES["coco"]
    assert notes == ("masks are not scored: the detections of 1 images have no masks",)


@pytest.mark.parametrize("metric", get_args(VocMetric))
def test_vocs_map_is_that_of_the_evaluation(metric: VocMetric) -> None:
    annotations, predictions = random_case(2)
    (interval,) = intervals(annotations, predictions, RULES[metric]).values()
    expected = evaluate_voc(annotations, predictions, metric).mAP
    assert interval is not None
    assert interval.value == pytest.approx(expected)
    assert interval.low < interval.high
