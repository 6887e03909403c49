"""Runs a trained detector on a data set and scores it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from detect.config import Config
from detect.config.builders.data import default_metric, read_split_for_model
from detect.config.builders.proposals import proposals_for_evaluation
from detect.data.annotations import Annotations
from detect.data.loading.loader import describe_other_size, evaluation_loader
from detect.data.loading.workers import explain_worker_death
from detect.data.sources import remap_classes
from detect.errors import RunError, UnreadableImage
from detect.evaluation.score import Metric, Score
from detect.evaluation.score import evaluate as score_predictions
from detect.inference.dataset_pass import (
    BatchPredictions,
    DatasetPredictions,
    as_prediction,
    detections_only,
    gather_predictions,
    no_progress,
    run_on_dataset,
)
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.inference.read_ahead import read_ahead
from detect.models.slices import Slicing
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup
from detect.system.numbers import format_count
from detect.system.progress import ProgressDisplay
from detect.system.randomness import hash_key


def evaluate(
    model: Predictor | str | Path, data: Annotations | Config | None = None, metric: Metric | None = None
) -> Score:
    """Score a model on annotations, or on the validation split of a Config; None uses the Config of the model.

    The classes of annotations and model are matched by name. ``Score.other_sizes`` has the photos of another size than
    labelled, and ``Score.notes`` what of the labels of a split is not scored. Raises UserError for an object whose
    class the model does not have, and RunError, a UserError too, where a photo cannot be read.
    """
    predictor = model if isinstance(model, Predictor) else load(model)
    config = data if isinstance(data, Config) else predictor.config
    notes: tuple[str, ...] = ()
    if isinstance(data, Annotations):
        annotations = remap_classes(data, predictor.classes)
    else:
        with_model = config.model_copy(update={"model": predictor.config.model})  # which tells whether masks are read
        annotations, notes = read_split_for_model(with_model, "val", predictor.classes)
    passed = predict_dataset(predictor, annotations, config)
    _require_readable(passed)
    score = score_predictions(annotations, passed.predictions, metric or default_metric(config))
    return replace(score, other_sizes=tuple(dict.fromkeys(passed.other_sizes)), notes=notes)


def _require_readable(passed: DatasetPredictions) -> None:
    """Raise RunError if an image could not be read, as a score would count its objects as missed."""
    if passed.unreadable:
        raise RunError(
            f"detect.evaluate: expected images that can be read, found {len(passed.unreadable)} of "
            f"{format_count(len(passed.predictions), 'image')} that cannot, the first {passed.unreadable[0]}; repair "
            "them or leave them out of the annotations (detect eval scores them as images without detections)"
        )


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
    advance = no_progress if progress is None else progress.advance
    if predictor.slicing is not None:
        return _predict_in_slices(predictor, predictor.slicing, annotations, config.train.batch_size, advance, group)
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
        return run_on_dataset(step, batches, annotations, predictor.compute, advance, group)


def _predict_in_slices(
    predictor: Predictor,
    slicing: Slicing,
    annotations: Annotations,
    batch_size: int,
    advance: Callable[[int], None],
    group: ProcessGroup,
) -> DatasetPredictions:
    """Return the detections on a data set whose images are detected in slices, one image after the other."""
    shard = group.shard(range(len(annotations)))
    local = []
    for index, rgb in zip(shard, read_ahead(annotations.file(index) for index in shard), strict=True):
        annotation = annotations[index]
        if isinstance(rgb, UnreadableImage):
            local.append(BatchPredictions({}, {}, (str(rgb),)))
        else:
            size, seed = (rgb.shape[0], rgb.shape[1]), hash_key("evaluation", annotation.image_id)
            merged = predictor.detect_views(slicing, rgb, seed, batch_size).merged
            other_size = describe_other_size(annotation, size)
            local.append(
                BatchPredictions(
                    predictions={index: as_prediction(merged, size, size, annotation.file)},
                    losses={},
                    unreadable=(),
                    other_sizes=(other_size,) if other_size else (),
                )
            )
        advance(1)
    return gather_predictions(local, annotations, group)
