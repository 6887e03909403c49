"""Validation between epochs: loss and metric of the weights that would be kept."""

from __future__ import annotations

from dataclasses import dataclass

from detect.data.annotations import Annotations
from detect.data.loading.collate import GivenLookup
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import told_when_a_worker_ends
from detect.evaluation.proposal_recall import Coverage, measure
from detect.evaluation.score import Metric, Score, evaluate
from detect.inference.dataset_pass import Pass, detections_and_losses, proposals_and_losses, run_over
from detect.models.detector import Detector
from detect.ops.preprocess import Preprocess
from detect.system.device import Compute
from detect.system.distributed import ALONE, Group


@dataclass(frozen=True)
class Validated:
    """numbers: by name, the one that ranks checkpoints first; loss: the mean of the sum of all losses; passed: what
    they were made from; score: of the detections, None where the head does not learn and proposals are measured.
    """

    numbers: dict[str, float | None]
    loss: float
    passed: Pass
    score: Score | None

    @property
    def primary_name(self) -> str:
        """The number that ranks checkpoints."""
        return next(iter(self.numbers))

    @property
    def primary(self) -> float | None:
        """Its value."""
        return self.numbers[self.primary_name]


@dataclass(frozen=True)
class Validation:
    """How to validate: on which data, by which metric (``recall``: of the proposals at an IoU of 0.5), with which
    proposals if they are given. Each process of the group has its share of the batches; all get the whole answer.
    """

    annotations: Annotations
    preprocess: Preprocess
    metric: Metric
    batch_size: int
    workers: int
    compute: Compute
    given: GivenLookup | None = None
    of_proposals: bool = False
    group: Group = ALONE

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers worth a column of metrics.csv."""
        if self.of_proposals:
            return ("recall",)
        return ("AP", "AP50") if self.metric == "coco" else ("mAP",)

    def run(self, detector: Detector) -> Validated:
        """Detect on every image, then score. The losses come from the same pass."""
        rank, size = self.group.rank, self.group.size
        batches = evaluation_loader(
            self.annotations, self.preprocess, self.batch_size, self.workers, self.given, rank, size
        )
        looking = proposals_and_losses if self.of_proposals else detections_and_losses
        with told_when_a_worker_ends("data.workers", batches):
            passed = run_over(looking(detector), batches, self.annotations, self.compute, group=self.group)
        loss = sum(passed.losses.values())
        if self.of_proposals:
            return Validated({"recall": self._recall(passed)}, loss, passed, None)
        score = evaluate(self.annotations, passed.predictions, self.metric)
        return Validated(score.numbers, loss, passed, score)

    def _recall(self, passed: Pass) -> float | None:
        """The share of objects, difficult ones and crowds aside, that some proposal covers with an IoU of 0.5."""
        covered = []
        for index, prediction in enumerate(passed.predictions):
            truth = self.annotations[index]
            counted = ~(truth.difficult | truth.crowd)
            covered.append(Coverage(prediction.boxes, truth.boxes[counted], truth.labels[counted]))
        best = measure(covered).every
        return float((best >= 0.5).mean()) if len(best) else None
