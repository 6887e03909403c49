"""Runs a detector on many images: workers decode batches, drawing overlaps with the model, and killed runs resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePath

from detect.data.image_names import relative_to_shared_folder
from detect.data.images import image_size, read_image
from detect.data.loading.batch_sampler import group_by_size
from detect.data.loading.collate import ProposalLookup
from detect.data.loading.loader import file_loader
from detect.data.loading.workers import explain_worker_death
from detect.data.masks import decode
from detect.draw import LabeledBoxes, draw_detections, save_image
from detect.errors import UnreadableImage, UserError
from detect.evaluation.predictions import Prediction
from detect.inference.detect_batches import ModelTimer, PredictOptions, detect_batches, detect_slices
from detect.inference.prediction_journal import BatchResult, PredictionJournal
from detect.inference.predictor import Predictor
from detect.proposals.lookups import ProposalsFromFiles, load_proposal_lookup
from detect.system import randomness
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup
from detect.system.files import fit_name, remove_temp_files
from detect.system.overwriting import require_other_files
from detect.system.progress import ProgressDisplay

JOURNAL_FILE = ".finished.jsonl"


@dataclass(frozen=True)
class PredictionResult:
    """The result of a prediction run.

    predictions: of all readable images, in order; unreadable: a line for each other image; seconds: the duration of the
    run; model_seconds: the part of it in which the model computed. Both exclude the time of an earlier, killed run.
    """

    predictions: list[Prediction]
    unreadable: list[str]
    seconds: float
    model_seconds: float


def predict_images(
    predictor: Predictor,
    images: Sequence[Path],
    out: Path,
    options: PredictOptions,
    batch_size: int,
    workers: int,
    progress: ProgressDisplay,
    proposals: Path | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> PredictionResult:
    """Detect on all images. A detector without an RPN searches proposals, or takes those of the file ``proposals``.

    Batches that an earlier run of the same command completed in ``out``, with any number of processes, are not done
    again. The images of a batch have the same padded size, so that no result depends on the other images of the batch.
    Each process of ``group`` computes one batch at a time; all get the complete result, and the main process alone
    writes the journal.
    """
    start = time.perf_counter()
    draw_batch = _DrawBatch(
        folder=out / "images",
        names=relative_to_shared_folder([str(image) for image in images]),
        classes=predictor.classes,
        score=options.drawn_score or 0.0,
    )
    if options.drawn_score is not None:
        require_other_files(map(draw_batch.drawing, range(len(images))), images)
    batches = group.gather(_batches(predictor, images, batch_size) if group.is_main else [])[0]
    lookup: ProposalLookup | None = proposals_from_file(predictor, images, proposals) or predictor.proposal_search
    journal = None
    if group.is_main:
        key = run_hash(predictor, images, options, batches, proposals)
        remove_temp_files(out, JOURNAL_FILE, recursive=False)
        if (out / JOURNAL_FILE).exists():  # of a run that was killed, perhaps while it drew its first batch
            remove_temp_files(out)
        journal = PredictionJournal(out / JOURNAL_FILE, key, predictor.classes, predictor.compute.precision)
    results = list(group.gather(journal.batches if journal else [])[0])
    if results:
        progress.start_at(sum(map(_num_images, results)))
    remaining = batches[len(results) :]
    timer = ModelTimer()
    shard = group.shard(remaining)
    guard: AbstractContextManager[None] = nullcontext()
    if predictor.slicing is None:
        num_workers = workers if len(images) > 1 else 0  # nothing to read while the model computes
        pin_memory = predictor.compute.is_asynchronous
        loader = file_loader(images, predictor.preprocess, shard, num_workers, lookup, pin_memory)
        guard = explain_worker_death("--workers", loader)
        local_results = detect_batches(predictor, loader, options, timer)
    else:
        indices = [index for batch in shard for index in batch]
        local_results = detect_slices(predictor, predictor.slicing, images, indices, options, batch_size, timer)
    with guard, ThreadPoolExecutor(1) as pool:
        if options.drawn_score is not None:
            local_results = _overlap_drawing(pool, draw_batch, local_results)
        for result in _gather_in_order(group, local_results, len(remaining)):
            if journal is not None:
                journal.add(result)
            results.append(result)
            progress.advance(_num_images(result))
    return _to_result(results, time.perf_counter() - start, timer.seconds)


def _gather_in_order(
    group: ProcessGroup, local_results: Iterator[BatchResult], num_batches: int
) -> Iterator[BatchResult]:
    """Yield the results of ``num_batches`` batches of all processes, in the order of the batches."""
    for _ in range(0, num_batches, group.size):
        yield from (result for result in group.gather(next(local_results, None)) if result is not None)


def _to_result(results: Sequence[BatchResult], seconds: float, model_seconds: float) -> PredictionResult:
    by_index: dict[int, Prediction] = {}
    for result in results:
        by_index.update(zip(result.indices, result.predictions, strict=True))
    unreadable = [line for result in results for line in result.unreadable]
    return PredictionResult([by_index[index] for index in sorted(by_index)], sorted(unreadable), seconds, model_seconds)


def _num_images(result: BatchResult) -> int:
    return len(result.indices) + len(result.unreadable)


def clear_journal(out: Path) -> None:
    """Delete the journal, because all results are written. The next run of the command starts from the beginning."""
    (out / JOURNAL_FILE).unlink(missing_ok=True)


def _batches(predictor: Predictor, images: Sequence[Path], batch_size: int) -> list[list[int]]:
    """Return batches of indices of images with the same padded size; of one image each if they are cut into slices.

    Images without a readable header are one group.
    """
    if predictor.slicing is not None:
        return [[index] for index in range(len(images))]
    padded_sizes, preprocess = [], predictor.preprocess
    for image in images:
        try:
            padded_sizes.append(preprocess.canvas([preprocess.target_size(image_size(image))]))
        except UnreadableImage:
            padded_sizes.append((0, 0))
    return group_by_size(padded_sizes, batch_size)


def proposals_from_file(
    predictor: Predictor, images: Sequence[Path], proposals: Path | None
) -> ProposalsFromFiles | None:
    """Return the proposals of a file, None without a file. Raises UserError for a detector with an RPN."""
    if proposals is None:
        return None
    if predictor.proposal_search is None:
        raise UserError(
            f"--proposals {proposals}: expected a detector with precomputed proposals, found one with an RPN"
        )
    if predictor.slicing is not None:
        raise UserError(
            f"--proposals {proposals}: expected none with model.test_time.slice.size, as they are those of whole images"
        )
    return load_proposal_lookup([proposals], [str(image) for image in images], predictor.proposal_search.max_proposals)


def run_hash(
    predictor: Predictor,
    images: Sequence[Path],
    options: PredictOptions,
    batches: object,
    proposals: Path | None,
) -> int:
    """Return a hash of all that the results depend on: files of weights, proposals and images, settings, options, and
    what makes the batches.
    """
    files = (predictor.file, *images) if proposals is None else (predictor.file, proposals, *images)
    stats = [(file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else None for file in files]
    parts = (
        predictor.file,
        proposals,
        predictor.config,
        predictor.compute,
        options,
        [str(image) for image in images],
        stats,
        batches,
    )
    return randomness.hash_key(*map(repr, parts))


def drawing_name(name: str) -> str:
    """Return the path of the drawing of an image below the folder of drawings.

    name: that of the image below the folder that all images share.
    """
    path = PurePath(name)
    return (path.parent / fit_name(path.name, ".jpg")).as_posix()


def count_shortened_names(images: Sequence[Path]) -> int:
    """Return for how many images the name of the drawing is not that of the image, because it would be too long."""
    names = relative_to_shared_folder([str(image) for image in images])
    return sum(drawing_name(name) != f"{name}.jpg" for name in names)


@dataclass(frozen=True)
class _DrawBatch:
    """Draws the images of a batch, each to ``folder`` under its name, with the boxes of at least ``score``."""

    folder: Path
    names: Sequence[str]
    classes: Sequence[str]
    score: float

    def drawing(self, index: int) -> Path:
        """Return the file of the drawing of an image."""
        return self.folder / drawing_name(self.names[index])

    def __call__(self, result: BatchResult) -> BatchResult:
        for index, detected in zip(result.indices, result.predictions, strict=True):
            prediction = detected.select(detected.scores >= self.score)
            rgb, masks = read_image(prediction.file), prediction.masks
            bitmaps = None if masks is None else [decode(mask, (rgb.shape[0], rgb.shape[1])) for mask in masks]
            boxes = LabeledBoxes(prediction.boxes, prediction.labels, prediction.scores, bitmaps)
            image = draw_detections(rgb, boxes, self.classes)
            save_image(self.drawing(index), image)
        return result


def _overlap_drawing(
    pool: ThreadPoolExecutor, draw: Callable[[BatchResult], BatchResult], results: Iterable[BatchResult]
) -> Iterator[BatchResult]:
    """Yield each result after it is drawn, which happens while the next result is computed."""
    pending = None
    for result in results:
        if pending is not None:
            yield pending.result()
        pending = pool.submit(draw, result)
    if pending is not None:
        yield pending.result()
