"""Many images through a detector: batches decoded by workers, pictures drawn beside the model, a kill survived."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from detect.data.image_names import below_shared_folder
from detect.data.images import UnreadableImage, image_size, read_image
from detect.data.loading.batch_sampler import by_canvas
from detect.data.loading.collate import Batch, GivenLookup
from detect.data.loading.loader import file_loader
from detect.data.loading.workers import told_when_a_worker_ends
from detect.draw import Marks, draw_detections, save_image
from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.inference.dataset_pass import as_prediction
from detect.inference.prediction_journal import BatchResult, Finished
from detect.inference.predictor import Predictor
from detect.ops.preprocess import Preprocess
from detect.proposals.lookups import FromFile, from_file
from detect.system import randomness
from detect.system.distributed import ALONE, Group
from detect.system.files import remove_leftovers
from detect.system.progress import Display
from detect.types import to_device


@dataclass(frozen=True)
class Work:
    """What a run came to: predictions of all readable images in order, a line for each unreadable one, how long it
    took, and for how long of it the model computed; work of an earlier, killed run takes no time here.
    """

    predictions: list[Prediction]
    unreadable: list[str]
    seconds: float
    model_seconds: float


@dataclass(frozen=True)
class Wish:
    """What is wanted of each image: detections of at least ``score`` with a label among ``labels``; pictures or not."""

    score: float
    labels: tuple[int, ...]
    pictures: bool


def predict_images(
    predictor: Predictor,
    images: Sequence[Path],
    out: Path,
    wish: Wish,
    batch_size: int,
    workers: int,
    display: Display,
    proposals: Path | None = None,
    group: Group = ALONE,
) -> Work:
    """Detect on all images; a detector that is given its proposals searches them, or takes those of a file.

    Batches done by an earlier run of the same command in ``out``, by whatever number of processes, are not done again.
    Images of one batch share a canvas, so that a result does not depend on the company. Of ``group`` each process does
    one batch of a round; all get the whole work, and the leader alone keeps what is done.
    """
    start = time.perf_counter()
    batches = group.gather(_batches(images, predictor.preprocess, batch_size) if group.leads else [])[0]
    given: GivenLookup | None = given_from(predictor, images, proposals) or predictor.given
    finished = None
    if group.leads:
        key = _key(predictor, images, wish, batches, proposals)
        finished = Finished(out / ".finished.jsonl", key, predictor.classes)
        if finished.batches:
            remove_leftovers(out)
    results = list(group.gather(finished.batches if finished else [])[0])
    if results:
        display.found_done(sum(map(_images_in, results)))
    left, look = batches[len(results) :], _Looking(predictor, wish)
    draw = _Drawing(out / "images", below_shared_folder([str(image) for image in images]), predictor.classes)
    loader = file_loader(images, predictor.preprocess, group.share(left), workers, given)
    with told_when_a_worker_ends("--workers", loader), ThreadPoolExecutor(1) as pool:
        own: Iterator[BatchResult] = map(look, loader)
        if wish.pictures:
            own = _one_behind(pool, draw, own)
        for result in _rounds(group, own, len(left)):
            if finished is not None:
                finished.add(result)
            results.append(result)
            display.advance(_images_in(result))
    return _work(results, time.perf_counter() - start, look.seconds)


def _rounds(group: Group, own: Iterator[BatchResult], count: int) -> Iterator[BatchResult]:
    """The results of ``count`` batches by all processes, in the order of the batches."""
    for _ in range(0, count, group.size):
        yield from (result for result in group.gather(next(own, None)) if result is not None)


def _work(results: Sequence[BatchResult], seconds: float, model_seconds: float) -> Work:
    placed: dict[int, Prediction] = {}
    for result in results:
        placed.update(zip(result.places, result.predictions, strict=True))
    unreadable = [line for result in results for line in result.unreadable]
    return Work([placed[place] for place in sorted(placed)], sorted(unreadable), seconds, model_seconds)


def _images_in(result: BatchResult) -> int:
    return len(result.places) + len(result.unreadable)


def forget_progress(out: Path) -> None:
    """All results are written: the next run of the command starts anew."""
    (out / ".finished.jsonl").unlink(missing_ok=True)


def _batches(images: Sequence[Path], preprocess: Preprocess, batch_size: int) -> list[list[int]]:
    """Places of images of one canvas; those without a readable header, which will be reported, together."""
    canvases = []
    for image in images:
        try:
            canvases.append(preprocess.canvas([preprocess.resized(image_size(image))]))
        except UnreadableImage:
            canvases.append((0, 0))
    return by_canvas(canvases, batch_size)


def given_from(predictor: Predictor, images: Sequence[Path], proposals: Path | None) -> FromFile | None:
    """The proposals in a file, for a detector that is given some; None without a file. Raises UserError."""
    if proposals is None:
        return None
    if predictor.given is None:
        raise UserError(
            f"--proposals {proposals}: expected a detector that is given its proposals, found one with an RPN"
        )
    return from_file(proposals, [str(image) for image in images], predictor.given.number)


def _key(
    predictor: Predictor,
    images: Sequence[Path],
    wish: Wish,
    batches: Sequence[Sequence[int]],
    proposals: Path | None,
) -> int:
    """Of all that results depend on: weights, proposals and images as they are now, settings, what is wanted."""
    files = (predictor.file, *images) if proposals is None else (predictor.file, proposals, *images)
    stats = [(file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else None for file in files]
    parts = (
        predictor.file,
        proposals,
        predictor.config,
        predictor.compute,
        wish,
        [str(image) for image in images],
        stats,
        batches,
    )
    return randomness.key(*map(repr, parts))


class _Looking:
    """The model on a batch; seconds: how long it has computed."""

    def __init__(self, predictor: Predictor, wish: Wish) -> None:
        self.predictor = predictor
        self.wish = wish
        self.seconds = 0.0

    def __call__(self, batch: Batch) -> BatchResult:
        start = time.perf_counter()
        found = self._detections(batch)
        self.seconds += time.perf_counter() - start
        return BatchResult(batch.indices, tuple(_chosen(one, self.wish) for one in found), batch.unreadable)

    def _detections(self, batch: Batch) -> list[Prediction]:
        """Of each image, in its own pixels; those are on the CPU, so the model is done when they are here."""
        if not len(batch.images):
            return []
        compute = self.predictor.compute
        images = to_device(batch.images, compute.device)
        with torch.inference_mode(), compute.autocast():
            found = self.predictor.detector.detect(images)
        return [
            as_prediction(*one) for one in zip(found, batch.images.sizes, batch.originals, batch.files, strict=True)
        ]


def _chosen(prediction: Prediction, wish: Wish) -> Prediction:
    which = (prediction.scores >= wish.score) & np.isin(prediction.labels, wish.labels)
    return replace(
        prediction, boxes=prediction.boxes[which], scores=prediction.scores[which], labels=prediction.labels[which]
    )


@dataclass(frozen=True)
class _Drawing:
    """Draws a result's images below ``folder``, each by its name."""

    folder: Path
    names: Sequence[str]
    classes: Sequence[str]

    def __call__(self, result: BatchResult) -> BatchResult:
        for place, prediction in zip(result.places, result.predictions, strict=True):
            marks = Marks(prediction.boxes, prediction.labels, prediction.scores)
            picture = draw_detections(read_image(prediction.file), marks, self.classes)
            save_image(self.folder / f"{self.names[place]}.jpg", picture)
        return result


def _one_behind(
    pool: ThreadPoolExecutor, draw: Callable[[BatchResult], BatchResult], results: Iterable[BatchResult]
) -> Iterator[BatchResult]:
    """Each result when it is drawn, which happens while the next is made."""
    waiting = None
    for result in results:
        if waiting is not None:
            yield waiting.result()
        waiting = pool.submit(draw, result)
    if waiting is not None:
        yield waiting.result()
