"""Detects on the frames of videos: batches of frames in order, a journal for each video, tracks, annotated videos.

Tracks and annotated videos are made from the detections of all frames when these are complete. So a run that was
killed and resumed gives the same files as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detect.data.image_names import relative_to_shared_folder
from detect.data.masks import decode
from detect.data.video import Frame, FrameSource, VideoWriter
from detect.draw import LabeledBoxes, draw_detections
from detect.errors import UnreadableImage
from detect.evaluation.predictions import FrameTime, Prediction
from detect.inference.dataset_pass import as_prediction
from detect.inference.detect_batches import ModelTimer, PredictOptions, select_detections
from detect.inference.predict import PredictionResult, run_hash
from detect.inference.prediction_journal import BatchResult, PredictionJournal
from detect.inference.predictor import Predictor
from detect.inference.read_ahead import compute_ahead
from detect.inference.result_formats import select_score
from detect.system.overwriting import require_other_files
from detect.system.progress import ProgressDisplay
from detect.system.randomness import hash_key
from detect.tracking.byte_track import FrameDetections, TrackingConfig, track

TRACKING = TrackingConfig()


def video_journal(number: int) -> str:
    """Return the name of the journal of a video, by its number in the command."""
    return f".finished-{number}.jsonl"


@dataclass(frozen=True)
class VideoOptions:
    """The options of a run on videos besides those on images.

    every: of how many frames one is detected; batch_size: frames in a batch; track_score: the score from which a
    detection starts a track, None to track nothing.
    """

    every: int
    batch_size: int
    track_score: float | None


def predict_videos(
    predictor: Predictor,
    sources: Sequence[FrameSource],
    out: Path,
    options: PredictOptions,
    video: VideoOptions,
    progress: ProgressDisplay,
) -> PredictionResult:
    """Detect on every ``video.every``-th frame of each video, in order; frames that an earlier run has done are not
    done again.

    A video that breaks off gives what can be read of it, and a line.
    """
    start, timer = time.perf_counter(), ModelTimer()
    names = relative_to_shared_folder([source.name for source in sources])
    drawings = [out / "videos" / name for name in annotated_names(names)]
    if options.drawn_score is not None:
        require_other_files(drawings, [Path(source.name) for source in sources])
    tracking = None if video.track_score is None else _tracking_config(video.track_score)
    detect_options = options if tracking is None else replace(options, score=min(tracking.low_score, options.score))
    journals = []
    for number, source in enumerate(sources):
        parts = (number, source.name, source.rate, video.every, video.batch_size)
        key = run_hash(predictor, source.files(), detect_options, parts, None)
        journals.append(
            PredictionJournal(out / video_journal(number), key, predictor.classes, predictor.compute.precision)
        )
    done = sum(_count_frames(journal) for journal in journals)
    if done:
        progress.start_at(done)
    predictions, unreadable = list[Prediction](), list[str]()
    for source, journal, drawing in zip(sources, journals, drawings, strict=True):
        error = _detect_frames(predictor, source, journal, detect_options, video, timer, progress)
        detected = [prediction for batch in journal.batches for prediction in batch.predictions]
        if tracking is not None:
            detected = _with_tracks(detected, options.score, tracking, video.every)
        if options.drawn_score is not None:
            drawn = [select_score(prediction, options.drawn_score) for prediction in detected]
            _draw(source, drawn, drawing, predictor.classes, video.every)
        predictions += detected
        unreadable += [line for batch in journal.batches for line in batch.unreadable]
        unreadable += [] if error is None else [error]
    return PredictionResult(predictions, unreadable, time.perf_counter() - start, timer.seconds)


def _tracking_config(track_score: float) -> TrackingConfig:
    """Return the thresholds of tracks that detections of ``track_score`` start.

    They do not depend on the minimum scores of the formats: a format for scoring beside another one would change the
    tracks of both.
    """
    return replace(TRACKING, low_score=min(TRACKING.low_score, track_score), high_score=track_score)


def annotated_names(names: Sequence[str]) -> list[str]:
    """Return the name of the annotated video of each video, all different: ``a.avi.mp4`` of ``a.avi``.

    One that ends in .mp4 keeps its name, except beside the video whose annotated one has it.
    """
    return [
        name if name.endswith(".mp4") and name.removesuffix(".mp4") not in names else f"{name}.mp4" for name in names
    ]


def _detect_frames(
    predictor: Predictor,
    source: FrameSource,
    journal: PredictionJournal,
    options: PredictOptions,
    video: VideoOptions,
    timer: ModelTimer,
    progress: ProgressDisplay,
) -> str | None:
    """Add the detections of the frames that the journal lacks to it; return a line if the video breaks off."""
    frames = compute_ahead(source.frames(video.every, _count_frames(journal)))
    try:
        for batch in _batches(frames, video.batch_size):
            with timer.running():
                predictions = _detect(predictor, source, batch)
            selected = tuple(select_detections(prediction, options) for prediction in predictions)
            indices = tuple(frame.index for frame in batch if not isinstance(frame.image, UnreadableImage))
            errors = tuple(str(frame.image) for frame in batch if isinstance(frame.image, UnreadableImage))
            journal.add(BatchResult(indices, selected, errors))
            progress.advance(len(batch))
    except UnreadableImage as error:
        return str(error)
    return None


def _count_frames(journal: PredictionJournal) -> int:
    """Return the number of frames that are done, readable or not."""
    return sum(len(result.indices) + len(result.unreadable) for result in journal.batches)


def _batches(frames: Iterator[Frame], batch_size: int) -> Iterator[list[Frame]]:
    """Yield the frames in batches of ``batch_size``, the last one smaller; those before an error too."""
    batch: list[Frame] = []
    try:
        for frame in frames:
            batch.append(frame)
            if len(batch) == batch_size:
                yield batch
                batch = []
    except UnreadableImage:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _detect(predictor: Predictor, source: FrameSource, frames: Sequence[Frame]) -> list[Prediction]:
    """Return a prediction for each readable frame. Frames of one size are one batch of the network."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for i, frame in enumerate(frames):
        if not isinstance(frame.image, UnreadableImage):
            by_size.setdefault(frame.image.shape, []).append(i)
    predictions: dict[int, Prediction] = {}
    for (height, width, _), indices in by_size.items():
        images = [frames[i].image for i in indices]
        arrays = [image for image in images if isinstance(image, np.ndarray)]
        seeds = [hash_key("evaluation", frames[i].index) for i in indices]
        for i, detections in zip(indices, predictor.detect_images(arrays, seeds), strict=True):
            frame = frames[i]
            prediction = as_prediction(detections, (height, width), (height, width), source.file_of(frame.index))
            predictions[i] = replace(prediction, frame=FrameTime(frame.index, frame.time))
    return [predictions[i] for i in sorted(predictions)]


def _with_tracks(
    predictions: Sequence[Prediction], score: float, config: TrackingConfig, every: int
) -> list[Prediction]:
    """Return the detections with their tracks: those of at least ``score``, and others that continue a track."""
    frames = [
        FrameDetections(prediction.frame.index, prediction.boxes, prediction.scores, prediction.labels)
        for prediction in predictions
        if prediction.frame is not None
    ]
    ids = track(frames, config, every)
    tracked = [replace(prediction, tracks=tracks) for prediction, tracks in zip(predictions, ids, strict=True)]
    return [
        prediction.select((prediction.scores >= score) | (tracks > 0))
        for prediction, tracks in zip(tracked, ids, strict=True)
    ]


def _draw(
    source: FrameSource, predictions: Sequence[Prediction], file: Path, classes: Sequence[str], every: int
) -> None:
    """Write the frames with their detections as a video, at the mean rate of these frames."""
    by_index = {prediction.frame.index: prediction for prediction in predictions if prediction.frame is not None}
    times = [prediction.frame.seconds for prediction in predictions if prediction.frame is not None]
    duration = times[-1] - times[0] if times else 0.0
    rate = (len(times) - 1) / duration if duration > 0 else 25.0
    writer = VideoWriter(file, rate)
    for frame in _until_broken_off(source, every):
        if isinstance(frame.image, np.ndarray) and frame.index in by_index:
            writer.write(_draw_frame(frame.image, by_index[frame.index], classes))
    writer.close()


def _until_broken_off(source: FrameSource, every: int) -> Iterator[Frame]:
    """Yield the frames, and end where the video breaks off, which is reported already."""
    with suppress(UnreadableImage):
        yield from compute_ahead(source.frames(every))


def _draw_frame(rgb: np.ndarray, prediction: Prediction, classes: Sequence[str]) -> np.ndarray:
    size = (rgb.shape[0], rgb.shape[1])
    masks = None if prediction.masks is None else [decode(mask, size) for mask in prediction.masks]
    boxes = LabeledBoxes(prediction.boxes, prediction.labels, prediction.scores, masks, prediction.tracks)
    return draw_detections(rgb, boxes, classes)


def clear_video_journals(out: Path) -> None:
    """Delete the journals, because all results are written."""
    for file in out.glob(".finished-*.jsonl"):
        file.unlink()
