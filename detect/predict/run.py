"""Many photos through a detector: batches decoded by workers, pictures drawn beside the model, a kill survived."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from detect import randomness
from detect.data.batch import Batch, GivenLookup
from detect.data.batching import by_canvas
from detect.data.images import UnreadableImage, image_size, read_image
from detect.data.loader import file_loader
from detect.data.workers import told_when_a_worker_ends
from detect.display import Display
from detect.draw import Marks, draw_detections, save_image
from detect.errors import UserError
from detect.evaluation.detecting import as_prediction, to_device
from detect.evaluation.predictions import Prediction, below_shared_folder
from detect.files import remove_leftovers
from detect.predict.finished import BatchResult, Finished
from detect.predict.predictor import Predictor
from detect.preprocess import Preprocess
from detect.proposing.lookups import FromFile, from_file


@dataclass(frozen=True)
class Work:
    """What a run came to: predictions of all readable photos in order, a line for each unreadable one, how long it
    took, and for how long of it the model computed; work of an earlier, killed run takes no time here.
    """

    predictions: list[Prediction]
    unreadable: list[str]
    seconds: float
    model_seconds: float


@dataclass(frozen=True)
class Wish:
    """What is wanted of each photo: detections of at least ``score`` with a label among ``labels``; pictures or not."""

    score: float
    labels: tuple[int, ...]
    pictures: bool


def predict_photos(
    predictor: Predictor,
    photos: Sequence[Path],
    out: Path,
    wish: Wish,
    batch_size: int,
    workers: int,
    display: Display,
    proposals: Path | None = None,
) -> Work:
    """Detect on all photos; a detector that is given its proposals searches them, or takes those of a file.

    Batches done by an earlier run of the same command in ``out`` are not done again. Photos of one batch share a
    canvas, so that a result does not depend on the company.
    """
    start, model_seconds = time.perf_counter(), 0.0
    batches = _batches(photos, predictor.preprocess, batch_size)
    given: GivenLookup | None = given_from(predictor, photos, proposals) or predictor.given
    finished = Finished(out / ".finished.jsonl", _key(predictor, photos, wish, batches, proposals), predictor.classes)
    done = len(finished.batches)
    if done:
        remove_leftovers(out)
        display.found_done(sum(len(batch) for batch in batches[:done]))
    names = below_shared_folder([str(photo) for photo in photos])
    loader = file_loader(photos, predictor.preprocess, batches[done:], workers, given)
    with told_when_a_worker_ends("--workers", loader), ThreadPoolExecutor(1) as pool:
        waiting = None
        for batch in loader:
            model_start = time.perf_counter()
            found = _detections(predictor, batch)
            model_seconds += time.perf_counter() - model_start
            result = BatchResult(batch.indices, tuple(_chosen(one, wish) for one in found), batch.unreadable)
            if waiting is not None:
                finished.add(waiting.result())
            waiting = pool.submit(_drawn, result, out / "images", names, predictor.classes, wish.pictures)
            display.advance(len(batch.files) + len(batch.unreadable))
        if waiting is not None:
            finished.add(waiting.result())
    placed: dict[int, Prediction] = {}
    for result in finished.batches:
        placed.update(zip(result.places, result.predictions, strict=True))
    unreadable = [line for result in finished.batches for line in result.unreadable]
    predictions = [placed[place] for place in sorted(placed)]
    return Work(predictions, sorted(unreadable), time.perf_counter() - start, model_seconds)


def forget_progress(out: Path) -> None:
    """All results are written: the next run of the command starts anew."""
    (out / ".finished.jsonl").unlink(missing_ok=True)


def _batches(photos: Sequence[Path], preprocess: Preprocess, batch_size: int) -> list[list[int]]:
    """Places of photos of one canvas; those without a readable header, which will be reported, together."""
    canvases = []
    for photo in photos:
        try:
            canvases.append(preprocess.canvas([preprocess.resized(image_size(photo))]))
        except UnreadableImage:
            canvases.append((0, 0))
    return by_canvas(canvases, batch_size)


def given_from(predictor: Predictor, photos: Sequence[Path], proposals: Path | None) -> FromFile | None:
    """The proposals in a file, for a detector that is given some; None without a file. Raises UserError."""
    if proposals is None:
        return None
    if predictor.given is None:
        raise UserError(
            f"--proposals {proposals}: expected a detector that is given its proposals, found one with an RPN"
        )
    return from_file(proposals, [str(photo) for photo in photos], predictor.given.number)


def _key(
    predictor: Predictor,
    photos: Sequence[Path],
    wish: Wish,
    batches: Sequence[Sequence[int]],
    proposals: Path | None,
) -> int:
    """Of all that results depend on: weights, proposals and photos as they are now, settings, what is wanted."""
    files = (predictor.file, *photos) if proposals is None else (predictor.file, proposals, *photos)
    stats = [(file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else None for file in files]
    parts = (
        predictor.file,
        proposals,
        predictor.config,
        predictor.compute,
        wish,
        [str(photo) for photo in photos],
        stats,
        batches,
    )
    return randomness.key(*map(repr, parts))


def _detections(predictor: Predictor, batch: Batch) -> list[Prediction]:
    """Of each photo of the batch, in its own pixels; those are on the CPU, so the model is done when they are here."""
    if not len(batch.images):
        return []
    images = to_device(batch.images, predictor.compute.device)
    with torch.inference_mode(), predictor.compute.autocast():
        found = predictor.detector.detect(images)
    return [as_prediction(*one) for one in zip(found, batch.images.sizes, batch.originals, batch.files, strict=True)]


def _chosen(prediction: Prediction, wish: Wish) -> Prediction:
    which = (prediction.scores >= wish.score) & np.isin(prediction.labels, wish.labels)
    return replace(
        prediction, boxes=prediction.boxes[which], scores=prediction.scores[which], labels=prediction.labels[which]
    )


def _drawn(
    result: BatchResult, folder: Path, names: Sequence[str], classes: Sequence[str], pictures: bool
) -> BatchResult:
    """The result itself, its photos drawn below ``folder`` where pictures are wanted."""
    for place, prediction in zip(result.places, result.predictions, strict=True):
        if pictures:
            marks = Marks(prediction.boxes, prediction.labels, prediction.scores)
            save_image(folder / f"{names[place]}.jpg", draw_detections(read_image(prediction.file), marks, classes))
    return result
