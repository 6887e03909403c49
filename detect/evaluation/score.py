"""One score for every metric, and the JSON form of it that scripts read."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from detect.evaluation.coco import evaluate_coco
from detect.evaluation.predictions import Prediction
from detect.evaluation.profiles import ProfileScore
from detect.evaluation.voc import evaluate_voc
from detect.system.files import write_text

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

Metric = Literal["coco", "voc07", "voc12"]


@dataclass(frozen=True)
class Score:
    """What a detector is worth on a data set. Fractions in 0..1, None where there is no ground truth.

    numbers: ``mAP`` alone for VOC's metrics, COCO's twelve (``coco.NUMBERS``) for ``coco``, the most telling first;
    per_class: AP by name; images: how many were scored; seconds: how long that took, without making the detections.
    """

    metric: Metric
    numbers: dict[str, float | None]
    per_class: dict[str, float | None]
    images: int
    seconds: float

    @property
    def primary_name(self) -> str:
        """The number that ranks models: ``mAP``, or COCO's ``AP``."""
        return next(iter(self.numbers))

    @property
    def primary(self) -> float | None:
        """Its value."""
        return self.numbers[self.primary_name]

    @property
    def ap50(self) -> float | None:
        """The mean AP at IoU 0.5: VOC's mAP, or COCO's AP50."""
        return self.numbers["AP50"] if self.metric == "coco" else self.primary

    def to_json(self) -> dict[str, Any]:
        """The contract's form: metric, the numbers, per_class, images, seconds."""
        return {
            "metric": self.metric,
            **self.numbers,
            "per_class": self.per_class,
            "images": self.images,
            "seconds": self.seconds,
        }


def evaluate(annotations: Annotations, predictions: Sequence[Prediction], metric: Metric) -> Score:
    """Score predictions, one an image in the annotations' order (``align`` makes them so).

    ValueError where the lengths differ.
    """
    start = time.perf_counter()
    if metric == "coco":
        coco = evaluate_coco(annotations, predictions)
        numbers, per_class = coco.numbers, coco.per_class
    else:
        voc = evaluate_voc(annotations, predictions, metric)
        numbers, per_class = {"mAP": voc.mAP}, voc.per_class
    return Score(metric, numbers, per_class, len(annotations), time.perf_counter() - start)


def write_score(path: Path, score: Score, profiles: Mapping[str, ProfileScore] | None = None) -> None:
    """``--json``: the contract's form in a file, written whole or not at all.

    profiles: what ``compare_profiles`` found, under the key ``profiles`` (see ``ProfileScore.to_json``).
    """
    content = score.to_json()
    if profiles is not None:
        content["profiles"] = {name: profile.to_json() for name, profile in profiles.items()}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
