"""Runs a trained detector on a data set and scores it."""

from __future__ import annotations

from pathlib import Path

from detect.config import Config
from detect.config.builders.data import default_metric, load_split_for_model
from detect.config.builders.proposals import proposals_for_evaluation
from detect.data.annotations import Annotations
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import explain_worker_death
from detect.evaluation.score import Metric, Score
from detect.evaluation.score import evaluate as score_predictions
from detect.inference.dataset_pass import DatasetPredictions, detections_only, run_on_dataset
from detect.inference.predictor import Predictor, load
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup
from detect.system.progress import ProgressDisplay


def evaluate(
    model: Predictor | str | Path, data: Annotations | Config | None = None, metric: Metric | None = None
) -> Score:
    """Score a model on annotations, or on the validation split of a Config; None uses the Config of the model."""
    predictor = model if isinstance(model, Predictor) else load(model)
    config = data if isinstance(data, Config) else predictor.config
    with_model = config.model_copy(update={"model": predictor.config.model})  # which tells whether masks are read
    annotations = data if isinstance(data, Annotations) else load_split_for_model(with_model, "val", predictor.classes)
    predictions = predict_dataset(predictor, annotations, config).predictions
    return score_predictions(annotations, predictions, metric or default_metric(config))


def predict_dataset(
    predictor: Predictor,
    annotations: Annotations,
    config: Config,
    progress: ProgressDisplay | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> DatasetPredictions:
    """Return the detections on a data set, with the config's batch size and workers.

    Each process of ``group`` runs on its shard of the batches, and all processes get all detections.
    """
    images = [annotations.file(index) for index in range(len(annotations))]
    proposals = proposals_for_evaluation(predictor.config.model, images, predictor.file.parent)
    size, workers = config.train.batch_size, config.data.workers
    batches = evaluation_loader(
        annotations,
        predictor.preprocess,
        size,
        workers,
        proposals,
        group.rank,
        group.size,
        pin_memory=predictor.compute.is_asynchronous,
    )
    step = detections_only(predictor.detector)
    with explain_worker_death("data.workers", batches):
        if progress is None:
            return run_on_dataset(step, batches, annotations, predictor.compute, group=group)
        return run_on_dataset(step, batches, annotations, predictor.compute, progress.advance, group)
