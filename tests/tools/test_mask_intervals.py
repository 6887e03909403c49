from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detect.errors import UserError
from detect.evaluation.coco import evaluate_coco, evaluate_coco_masks
from tests.evaluation.test_masks import random_case

TOOL = runpy.run_path(str(Path(__file__).resolve().parents[2] / "tools" / "mask_intervals.py"))


@pytest.mark.parametrize("seed", range(3))
def test_aps_are_cocos_and_lie_in_their_intervals(seed: int) -> None:
    annotations, predictions = random_case(seed)
    boxes, masks = (
        evaluate_coco(annotations, predictions).metrics,
        evaluate_coco_masks(annotations, predictions).metrics,
    )
    intervals: dict[str, Any] = TOOL["intervals"](annotations, predictions)
    aps = {f"{kind} {name}": metrics[name] for kind, metrics in (("boxes", boxes), ("masks", masks)) for name in NAMES}
    assert {name: interval and interval.value for name, interval in intervals.items()} == {
        name: None if ap is None else pytest.approx(ap) for name, ap in aps.items()
    }
    assert all(interval is None or interval.low <= interval.value <= interval.high for interval in intervals.values())


NAMES = ("AP", "AP50")


def test_detections_without_masks_are_refused() -> None:
    annotations, predictions = random_case(0)
    without = [replace(prediction, masks=None) for prediction in predictions]
    with pytest.raises(
        UserError, match="expected masks of all objects and detections, but the detections have no masks"
    ):
        TOOL["intervals"](annotations, without)
