"""Detects on the images of a prediction run: in batches that workers read, or one by one in slices."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detect.data.loading.collate import Batch
from detect.errors import UnreadableImage
from detect.evaluation.predictions import Prediction
from detect.inference.dataset_pass import as_prediction
from detect.inference.prediction_journal import BatchResult
from detect.inference.predictor import Predictor
from detect.inference.read_ahead import read_ahead
from detect.models.slices import Slicing
from detect.system import randomness


@dataclass(frozen=True)
class PredictOptions:
    """The options of a prediction run.

    score: the minimum score of a detection; labels: the labels to keep; drawn_score: the minimum score of a box that is
    drawn, None to draw no images; class_scores: the minimum score of each class (K,), None for the same for all.
    """

    score: float
    labels: tuple[int, ...]
    drawn_score: float | None = None
    class_scores: tuple[float, ...] | None = None


class ModelTimer:
    """Adds up the time in which the model computes; seconds: the total so far."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the time of the block, which ends when its detections are on the CPU, so the model has finished."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start


def detect_batches(
    predictor: Predictor, batches: Iterable[Batch], options: PredictOptions, timer: ModelTimer
) -> Iterator[BatchResult]:
    """Yield the result of each batch of images."""
    for batch in batches:
        with timer.running():
            predictions = _predict(predictor, batch)
        selected = tuple(select_detections(prediction, options) for prediction in predictions)
        yield BatchResult(batch.indices, selected, batch.unreadable)


def _predict(predictor: Predictor, batch: Batch) -> list[Prediction]:
    """Return a prediction for each image, in its pixels."""
    if not len(batch.images):
        return []
    images = batch.images.to(predictor.compute.device)
    with torch.inference_mode(), predictor.compute.autocast():
        detections = predictor.detector.detect(images)
    return [
        as_prediction(*arguments)
        for arguments in zip(detections, batch.images.sizes, batch.original_sizes, batch.files, strict=True)
    ]


def detect_slices(
    predictor: Predictor,
    slicing: Slicing,
    images: Sequence[Path],
    indices: Sequence[int],
    options: PredictOptions,
    batch_size: int,
    timer: ModelTimer,
) -> Iterator[BatchResult]:
    """Yield the result of each image, detected in slices, ``batch_size`` of these at a time; each is a batch."""
    for index, rgb in zip(indices, read_ahead(str(images[index]) for index in indices), strict=True):
        if isinstance(rgb, UnreadableImage):
            yield BatchResult((), (), (str(rgb),))
            continue
        size, seed = (rgb.shape[0], rgb.shape[1]), randomness.hash_key("evaluation", images[index].name)
        with timer.running():
            merged = predictor.detect_views(slicing, rgb, seed, batch_size).merged
        del rgb  # decoded it may have half a gigabyte
        prediction = as_prediction(merged, size, size, str(images[index]))
        yield BatchResult((index,), (select_detections(prediction, options),), ())


def select_detections(prediction: Prediction, options: PredictOptions) -> Prediction:
    """Return the detections of the score and the labels that are asked for."""
    keep = (prediction.scores >= options.score) & np.isin(prediction.labels, options.labels)
    if options.class_scores is not None:
        keep &= prediction.scores >= np.asarray(options.class_scores)[prediction.labels - 1]
    return prediction.select(keep)
