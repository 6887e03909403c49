"""Many photos through a detector, in batches decoded by workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from detect.data.images import read_image
from detect.data.loader import file_loader
from detect.draw import Marks, draw_detections, save_image
from detect.evaluate.detecting import as_prediction, to_device
from detect.evaluate.predictions import Prediction, below_shared_folder
from detect.predict.predictor import Predictor


def predict_photos(
    predictor: Predictor,
    photos: Sequence[Path],
    batch_size: int,
    workers: int,
    keep: Callable[[Prediction], Prediction],
    progress: Callable[[int], None],
) -> tuple[list[Prediction], list[str]]:
    """What ``keep`` leaves of the detections of each readable photo, in order, and a line for each unreadable one."""
    predictions: list[Prediction] = []
    unreadable: list[str] = []
    for batch in file_loader(photos, predictor.preprocess, batch_size, workers):
        unreadable += batch.unreadable
        if len(batch.images):
            images = to_device(batch.images, predictor.compute.device)
            with torch.inference_mode(), predictor.compute.autocast():
                found = predictor.detector.detect(images)
            for detections, resized, original, file in zip(
                found, images.sizes, batch.originals, batch.files, strict=True
            ):
                predictions.append(keep(as_prediction(detections, resized, original, file)))
        progress(len(batch.images) + len(batch.unreadable))
    return predictions, unreadable


def chosen(prediction: Prediction, score: float, labels: Sequence[int]) -> Prediction:
    """The detections of at least ``score`` whose label is among ``labels``."""
    which = (prediction.scores >= score) & np.isin(prediction.labels, labels)
    return replace(
        prediction, boxes=prediction.boxes[which], scores=prediction.scores[which], labels=prediction.labels[which]
    )


def draw_predictions(folder: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Each photo with its detections, as a JPEG of the same name below ``folder``."""
    names = below_shared_folder([prediction.file for prediction in predictions])
    for name, prediction in zip(names, predictions, strict=True):
        marks = Marks(prediction.boxes, prediction.labels, prediction.scores)
        save_image(folder / f"{name}.jpg", draw_detections(read_image(prediction.file), marks, classes))
