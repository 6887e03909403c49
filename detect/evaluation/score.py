"""A record of scores that is the same for every metric, and its JSON form, which scripts read."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from detect.evaluation.coco import evaluate_coco, evaluate_coco_masks
from detect.evaluation.mask_columns import mask_fault
from detect.evaluation.predictions import Prediction
from detect.evaluation.profiles import ProfileScore
from detect.evaluation.voc import evaluate_voc
from detect.system.files import write_text

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

Metric = Literal["coco", "voc07", "voc12"]


@dataclass(frozen=True)
class Score:
    """The metrics of a detector on a data set: fractions in 0..1, None where there is no ground truth.

    metric: whose rules; metrics: ``mAP`` alone for VOC's rules, COCO's twelve (``coco.METRIC_NAMES``) for ``coco``, the
    primary one first; per_class: AP by class name; images: the number of images; seconds: the time that scoring took,
    without detection; segm: COCO's twelve of the masks, for ``coco`` where all objects and detections have masks;
    other_sizes: a line for each photo of another size than labelled, where ``detect.evaluate`` read the photos; notes:
    the lines on the split that it read, and on what of its labels is not scored, which ``to_dict`` leaves out.
    """

    metric: Metric
    metrics: dict[str, float | None]
    per_class: dict[str, float | None]
    images: int
    seconds: float
    segm: dict[str, float | None] | None = None
    other_sizes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def primary_name(self) -> str:
        """The name of the metric by which models are compared: ``mAP``, or COCO's ``AP``."""
        return next(iter(self.metrics))

    @property
    def primary(self) -> float | None:
        """The metric by which models are compared."""
        return self.metrics[self.primary_name]

    @property
    def ap50(self) -> float | None:
        """The mean AP at IoU 0.5: VOC's mAP, or COCO's AP50."""
        return self.metrics["AP50"] if self.metric == "coco" else self.primary

    def to_dict(self) -> dict[str, Any]:
        """Return the record that scripts read: metric, the metrics by name, per_class, images, seconds.

        It has segm and other_sizes only where there are any.
        """
        other_sizes = {"other_sizes": list(self.other_sizes)} if self.other_sizes else {}
        segm = {} if self.segm is None else {"segm": self.segm}
        return {
            "metric": self.metric,
            **self.metrics,
            "per_class": self.per_class,
            "images": self.images,
            "seconds": self.seconds,
            **segm,
            **other_sizes,
        }


def evaluate(annotations: Annotations, predictions: Sequence[Prediction], metric: Metric) -> Score:
    """Score predictions, one for each image in the order of the annotations (``align`` returns them so).

    Raises ValueError where the lengths differ.
    """
    start = time.perf_counter()
    segm = None
    if metric == "coco":
        coco = evaluate_coco(annotations, predictions)
        metrics, per_class = coco.metrics, coco.per_class
        if mask_fault(annotations, predictions) is None:
            segm = evaluate_coco_masks(annotations, predictions).metrics
    else:
        voc = evaluate_voc(annotations, predictions, metric)
        metrics, per_class = {"mAP": voc.mAP}, voc.per_class
    return Score(metric, metrics, per_class, len(annotations), time.perf_counter() - start, segm)


def write_score(path: Path, score: Score, profiles: Mapping[str, ProfileScore] | None = None) -> None:
    """Write the JSON file of ``--json``; the write is atomic.

    profiles: the scores of ``compare_profiles``, written under the key ``profiles`` (see ``ProfileScore.to_dict``).
    """
    content = score.to_dict()
    if profiles is not None:
        content["profiles"] = {name: profile.to_dict() for name, profile in profiles.items()}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
