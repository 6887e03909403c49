"""A trained detector on a whole data set, and its score."""

from __future__ import annotations

from pathlib import Path

from detect.config import Config
from detect.config.builders.data import default_metric, split_data
from detect.config.builders.proposals import known_proposals
from detect.data.annotations import Annotations
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import told_when_a_worker_ends
from detect.evaluation.score import Metric, Score
from detect.evaluation.score import evaluate as score_predictions
from detect.inference.dataset_pass import Pass, detections_only, run_over
from detect.inference.predictor import Predictor, load
from detect.system.distributed import ALONE, Group
from detect.system.progress import Display


def evaluate(
    model: Predictor | str | Path, data: Annotations | Config | None = None, metric: Metric | None = None
) -> Score:
    """Score a model on annotations, or on the validation split of a Config (None: that of its training)."""
    predictor = model if isinstance(model, Predictor) else load(model)
    config = data if isinstance(data, Config) else predictor.config
    annotations = data if isinstance(data, Annotations) else split_data(config, "val", predictor.classes)
    passed = detect_over(predictor, annotations, config)
    return score_predictions(annotations, passed.predictions, metric or default_metric(config))


def detect_over(
    predictor: Predictor,
    annotations: Annotations,
    config: Config,
    display: Display | None = None,
    group: Group = ALONE,
) -> Pass:
    """The detections of a whole data set, with the config's batch size and workers; each process of ``group`` looks at
    its share of the batches, and all get the whole.
    """
    images = [annotations.file(index) for index in range(len(annotations))]
    given = known_proposals(predictor.config.model, images, predictor.file.parent)
    size, workers = config.train.batch_size, config.data.workers
    batches = evaluation_loader(annotations, predictor.preprocess, size, workers, given, group.rank, group.size)
    looking = detections_only(predictor.detector)
    with told_when_a_worker_ends("data.workers", batches):
        if display is None:
            return run_over(looking, batches, annotations, predictor.compute, group=group)
        return run_over(looking, batches, annotations, predictor.compute, display.advance, group)
