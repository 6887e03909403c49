"""Validation between epochs: loss and metric of the weights that would be kept."""

from __future__ import annotations

from dataclasses import dataclass

from detect.data.annotations import Annotations
from detect.data.loader import GivenLookup, evaluation_loader
from detect.detector import Detector
from detect.evaluation.detecting import Pass, detections_and_losses, run_over
from detect.evaluation.score import Metric, Score, evaluate
from detect.precision import Compute
from detect.preprocess import Preprocess


@dataclass(frozen=True)
class Validated:
    """score: of every photo; loss: the mean of the sum of all losses; passed: what it was made from."""

    score: Score
    loss: float
    passed: Pass

    @property
    def numbers(self) -> dict[str, float | None]:
        """The score's numbers by name."""
        return self.score.numbers


@dataclass(frozen=True)
class Validation:
    """How to validate: on which data, by which metric, with which proposals if they are given."""

    annotations: Annotations
    preprocess: Preprocess
    metric: Metric
    batch_size: int
    workers: int
    compute: Compute
    given: GivenLookup | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers worth a column of metrics.csv, the one that ranks checkpoints first."""
        return ("AP", "AP50") if self.metric == "coco" else ("mAP",)

    def run(self, detector: Detector) -> Validated:
        """Detect on every photo, then score. The losses come from the same pass."""
        batches = evaluation_loader(self.annotations, self.preprocess, self.batch_size, self.workers, self.given)
        passed = run_over(detections_and_losses(detector), batches, self.annotations, self.compute)
        score = evaluate(self.annotations, passed.predictions, self.metric)
        return Validated(score, sum(passed.losses.values()), passed)
