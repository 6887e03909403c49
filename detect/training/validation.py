"""Validation between epochs: the loss and the metrics of the weights that would be saved."""

from __future__ import annotations

from dataclasses import dataclass

from detect.data.annotations import Annotations
from detect.data.loading.collate import ProposalLookup
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import explain_worker_death
from detect.evaluation.proposal_recall import ProposalsAndObjects, best_ious
from detect.evaluation.score import Metric, Score, evaluate
from detect.inference.dataset_pass import (
    DatasetPredictions,
    detections_and_losses,
    proposals_and_losses,
    run_on_dataset,
)
from detect.models.detector import Detector
from detect.ops.preprocess import Preprocess
from detect.system.device import ComputeConfig
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup


@dataclass(frozen=True)
class ValidationResult:
    """The result of a validation.

    metrics: by name, the one that ranks checkpoints first; loss: the mean of the sum of all losses; predictions: those
    that were scored; score: of the detections, None if the head does not learn and the proposals are measured.
    """

    metrics: dict[str, float | None]
    loss: float
    predictions: DatasetPredictions
    score: Score | None

    @property
    def primary_name(self) -> str:
        """The name of the metric that ranks checkpoints."""
        return next(iter(self.metrics))

    @property
    def primary(self) -> float | None:
        """The value of the metric that ranks checkpoints, None where it is undefined."""
        return self.metrics[self.primary_name]


@dataclass(frozen=True)
class DetectionValidator:
    """Detects on a data set and scores the detections, or with ``proposals_only`` the recall of the proposals.

    proposals: precomputed ones for a detector that does not make its own. Each process of the group runs its share of
    the batches; all get the complete result.
    """

    annotations: Annotations
    preprocess: Preprocess
    metric: Metric
    batch_size: int
    workers: int
    compute: ComputeConfig
    proposals: ProposalLookup | None = None
    proposals_only: bool = False
    group: ProcessGroup = SINGLE_PROCESS

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names of the metrics that become columns of metrics.csv."""
        if self.proposals_only:
            return ("recall",)
        return ("AP", "AP50") if self.metric == "coco" else ("mAP",)

    def run(self, detector: Detector) -> ValidationResult:
        """Detect on every image and return the score; the losses come from the same pass."""
        rank, size = self.group.rank, self.group.size
        batches = evaluation_loader(
            self.annotations,
            self.preprocess,
            self.batch_size,
            self.workers,
            self.proposals,
            rank,
            size,
            pin_memory=self.compute.is_asynchronous,
        )
        predict_step = proposals_and_losses if self.proposals_only else detections_and_losses
        with explain_worker_death("data.workers", batches):
            predictions = run_on_dataset(
                predict_step(detector), batches, self.annotations, self.compute, group=self.group
            )
        loss = sum(predictions.losses.values())
        if self.proposals_only:
            metrics = {"recall": self._recall(predictions)}
            return ValidationResult(metrics=metrics, loss=loss, predictions=predictions, score=None)
        score = evaluate(self.annotations, predictions.predictions, self.metric)
        return ValidationResult(metrics=score.metrics, loss=loss, predictions=predictions, score=score)

    def _recall(self, predictions: DatasetPredictions) -> float | None:
        """Return the fraction of objects with a proposal of IoU 0.5 or more; None without objects.

        Difficult objects and crowds are not counted.
        """
        proposals_and_objects = []
        for index, prediction in enumerate(predictions.predictions):
            truth = self.annotations[index]
            counted = ~(truth.difficult | truth.crowd)
            proposals_and_objects.append(
                ProposalsAndObjects(
                    proposals=prediction.boxes, objects=truth.boxes[counted], labels=truth.labels[counted]
                )
            )
        best = best_ious(proposals_and_objects).all_proposals
        return float((best >= 0.5).mean()) if len(best) else None
