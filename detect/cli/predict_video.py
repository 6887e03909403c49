"""``detect predict`` on videos, and on images that are the frames of one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from detect.cli import options
from detect.cli.options import ModelArguments
from detect.cli.resumed_precision import resumed_precision
from detect.errors import UserError
from detect.system.files import require_writable_folder
from detect.system.numbers import format_count

if TYPE_CHECKING:
    from detect.data.video import FrameSource
    from detect.inference.predict import PredictionResult

VIDEO_FORMATS = ("json", "csv", "coco", "voc", "yolo", "images")  # the others refer to image files


@dataclass(frozen=True)
class VideoArguments:
    """The arguments of a run on videos.

    videos: the files, or none if ``paths`` name the images that are the frames, ``fps`` of them a second; the others
    are the options of ``detect predict``.
    """

    model: ModelArguments
    paths: tuple[str, ...]
    videos: tuple[Path, ...]
    fps: float | None
    out: Path
    formats: tuple[str, ...]
    score: float | None
    every: int
    track: bool


def predict_on_videos(arguments: VideoArguments) -> NoReturn:
    """Detect on the frames, write the results, and exit with 1 if a frame or a video could not be read."""
    require_writable_folder(arguments.out)
    from detect.inference.detect_batches import PredictOptions
    from detect.inference.load import load
    from detect.inference.lowest_score import describe_format_scores, describe_lowest_score
    from detect.inference.predict_video import VideoOptions, clear_video_journals, predict_videos, video_journal
    from detect.inference.result_formats import (
        SHOWN_SCORE,
        default_score,
        describe_earlier_results,
        describe_lost_fields,
        require_result_classes,
        write_results,
    )
    from detect.system.distributed import init_process_group
    from detect.system.progress import show_progress

    formats = arguments.formats or ("json", "images")
    for name in (name for name in formats if name not in VIDEO_FORMATS and arguments.fps is None):
        raise UserError(
            f"--format {name}: expected one of {', '.join(VIDEO_FORMATS)} for a video, found {name}, which refers to "
            "image files: save the frames in a folder, and name it with --fps"
        )
    sources, unreadable = _open_sources(arguments)
    with init_process_group("auto") as group:
        if group.size > 1:
            raise UserError(f"{sources[0].name}: expected one process for a video, found {group.size}")
    model = arguments.model
    precision = resumed_precision(model.precision, arguments.out / video_journal(0))
    predictor = load(model.model, model.device, precision, model.settings)
    require_result_classes(arguments.out, formats, predictor.classes)
    labels = options.class_labels(model.classes, predictor.classes)
    scores = {name: default_score(name) if arguments.score is None else arguments.score for name in formats}
    by_format = describe_format_scores(scores) if arguments.score is None else []
    for line in (*by_format, *describe_lowest_score(predictor, min(scores.values()))):
        print(line, flush=True)
    predict_options = PredictOptions(min(scores.values()), labels, scores.get("images"))
    track_score = SHOWN_SCORE if arguments.score is None else arguments.score
    video = VideoOptions(arguments.every, model.batch_size, track_score if arguments.track else None)
    num_frames = sum(-(-source.stated_count // arguments.every) for source in sources)
    with show_progress(Console(), "detecting", num_frames, "frames") as progress:
        result = predict_videos(predictor, sources, arguments.out, predict_options, video, progress)
    write_results(arguments.out, scores, result.predictions, predictor.classes, None)
    clear_video_journals(arguments.out)
    _print_summary(result, len(sources), max(scores.values()), arguments)
    earlier = describe_earlier_results(arguments.out, scores, result.predictions)
    for line in (*earlier, *describe_lost_fields(scores, result.predictions)):
        print(line)
    for line in (*unreadable, *result.unreadable):
        print(line, file=sys.stderr)
    sys.exit(1 if unreadable or result.unreadable else 0)


def _open_sources(arguments: VideoArguments) -> tuple[list[FrameSource], list[str]]:
    """Return the videos that can be opened, and a line for each other. Raises the error where none can be opened.

    Files that are passed over in a folder of frames are counted on standard output.
    """
    from detect.data.sources import natural_sort_key
    from detect.data.video import FrameImages, VideoFile
    from detect.errors import UnreadableImage
    from detect.inference.find_images import search_images
    from detect.inference.result_formats import picture_folders

    if arguments.fps is not None:
        search = search_images(arguments.paths, picture_folders(arguments.out))
        for note in search.notes():
            print(note, flush=True)
        images = sorted(search.images, key=lambda image: natural_sort_key(str(image)))
        return [FrameImages(str(images[0].absolute().parent), tuple(images), arguments.fps)], []
    sources: list[FrameSource] = []
    errors: list[UnreadableImage] = []
    for file in arguments.videos:
        try:
            sources.append(VideoFile(file))
        except UnreadableImage as error:
            errors.append(error)
    if not sources:
        raise errors[0]
    return sources, list(map(str, errors))


def _print_summary(result: PredictionResult, num_videos: int, score: float, arguments: VideoArguments) -> None:
    """Print the number of detections of at least ``score`` and below it, of frames and tracks, and the time."""
    from detect.inference.lowest_score import count_by_score

    tracks = {
        (prediction.file.rpartition("#")[0], track)
        for prediction in result.predictions
        if prediction.tracks is not None
        for track in prediction.tracks.tolist()
        if track
    }
    in_tracks = f", {format_count(len(tracks), 'track')}" if arguments.track else ""
    print(
        f"{count_by_score(result.predictions, score)} in {format_count(len(result.predictions), 'frame')} of "
        f"{format_count(num_videos, 'video')}{in_tracks}, in {arguments.out}: {result.seconds:.1f} s, the model "
        f"computing {result.model_seconds / result.seconds:.0%} of it"
    )
