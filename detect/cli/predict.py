"""The command ``detect predict``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_folder

if TYPE_CHECKING:
    from detect.evaluation.predictions import Prediction
    from detect.inference.coco_ids import CocoIds
    from detect.inference.find_images import ImageSearch
    from detect.inference.predict import PredictionResult
    from detect.inference.predictor import Predictor

MAX_LISTED = 10  # images, and detections of each, that are printed


@click.command("predict", epilog="Example: detect predict detect/voc_faster_rcnn photo.jpg --out found")
@click.argument("model", type=Path)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--out", type=Path, required=True, metavar="DIR", help="Folder to write to; files of the same names are replaced."
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["json", "csv", "coco", "voc", "yolo", "yolo-labels", "label-studio", "cvat", "images"]),
    multiple=True,
    help="Result format; can be repeated. `images` draws the boxes on the images; `yolo-labels` is a data set to train "
    "on, `label-studio` and `cvat` are labels to correct there [default: json and images].",
)
@click.option(
    "--score",
    type=options.ScoreType(),
    help="Minimum score; auto: that of best F1 for each class, on the validation data of MODEL [default: 0.05 for coco "
    "and voc, which are for scoring, 0.5 for the others].",
)
@click.option(
    "--batch-size", type=click.IntRange(1), metavar="N", default=8, show_default=True, help="Images in a batch."
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    default=2,
    show_default=True,
    help="Processes that read images while the model computes.",
)
@click.option("--every", type=click.IntRange(1), metavar="N", help="Video: detect on every N-th frame [default: 1].")
@click.option(
    "--track", is_flag=True, help="Video: number the objects through the frames (ByteTrack), in every result format."
)
@click.option(
    "--fps",
    type=click.FloatRange(0, min_open=True),
    metavar="F",
    help="The images are the frames of a video, F of them a second, in the order of their names.",
)
@click.option("--classes", metavar="A,B", help="Keep only detections of these classes.")
@click.option(
    "--proposals",
    type=Path,
    metavar="FILE",
    help="R-CNN, Fast R-CNN: read the proposals from this file instead of searching.",
)
@click.option(
    "--annotations",
    type=Path,
    metavar="GT.json",
    help="coco: take image ids and category ids from this file [default: from the data set of the images, if they are "
    "in one].",
)
@options.slice_size
@options.slice_overlap
@options.settings
@options.device
@options.precision_or_auto
def predict_command(
    model: Path,
    paths: tuple[str, ...],
    out: Path,
    formats: tuple[str, ...],
    score: float | Literal["auto"] | None,
    batch_size: int,
    workers: int,
    every: int | None,
    track: bool,
    fps: float | None,
    classes: str | None,
    proposals: Path | None,
    annotations: Path | None,
    slice_size: str | None,
    overlap: float | None,
    overrides: tuple[str, ...],
    device: Device | None,
    precision: Precision | Literal["auto"],
) -> None:
    """Detect with MODEL (a run folder, a checkpoint, or a name of `detect model zoo`) on images: files, folders
    (searched recursively), globs; or on videos.

    An interrupted run resumes when the same command is given again.

    torchrun --nproc-per-node N -m detect predict ... shares the images among N processes: the same files.
    """
    tune_malloc()
    from detect.inference.find_images import find_videos, search_images
    from detect.inference.predictor import load

    videos = find_videos(paths)
    _check_video_options(bool(videos), fps, every, track, proposals, annotations)
    settings = options.with_slices(overrides, slice_size, overlap)
    if videos or fps is not None:
        if score == "auto":
            raise UserError("--score: expected a number for a video, found auto")
        from detect.cli.predict_video import VideoArguments, predict_on_videos

        require_writable_folder(out)
        arguments = VideoArguments(
            paths=paths,
            videos=tuple(videos),
            fps=fps,
            out=out,
            formats=formats,
            score=score,
            batch_size=batch_size,
            every=every or 1,
            track=track,
            classes=classes,
        )
        predict_on_videos(lambda: load(model, device or "auto", precision, settings), arguments)
    search = search_images(paths)
    images = search.images
    require_writable_folder(out)
    for image in images if "voc" in formats else ():
        if len(str(image).splitlines()) > 1:
            raise UserError(f"--format voc: expected names on one line, found {str(image)!r}")
    if annotations is not None and "coco" not in formats:
        raise UserError("--annotations: expected --format coco together with it")
    from detect.inference.detect_batches import PredictOptions
    from detect.inference.labeling_results import local_files
    from detect.inference.predict import clear_journal, predict_images
    from detect.inference.result_formats import default_score, write_results
    from detect.system.distributed import init_process_group
    from detect.system.progress import show_progress

    all_formats = formats or ("json", "images")
    scores = {name: default_score(name) for name in all_formats}
    if score is not None:
        scores = dict.fromkeys(all_formats, 0.0 if score == "auto" else score)
    with init_process_group(device or "auto") as group:
        if group.size > 1 and precision == "auto":  # each process would choose for itself
            precision = "fp32"
        predictor = load(model, device or "auto", precision, settings)
        labels = options.class_labels(classes, predictor.classes)
        best = None
        if score == "auto":
            from detect.report.class_scores import best_class_scores

            console = Console(quiet=not group.is_main)
            best = group.main_process_first(lambda: best_class_scores(predictor, out, console))
        predict_options = PredictOptions(
            score=min(scores.values()),
            labels=labels,
            drawn_score=scores.get("images"),
            class_scores=None if best is None else best.scores,
        )
        ids, coco_notes = _coco_ids(annotations, predictor, images) if "coco" in scores else (None, [])
        if group.is_main:
            _print_notes(search, "images" in scores)
            score_lines = _describe_scores(scores) if score is None else [] if best is None else [best.line]
            for line in [*coco_notes, *score_lines]:
                print(line, flush=True)
        with show_progress(Console(quiet=not group.is_main), "detecting", len(images), "images") as progress:
            result = predict_images(
                predictor, images, out, predict_options, batch_size, workers, progress, proposals, group
            )
        if group.is_main:
            write_results(out, scores, result.predictions, predictor.classes, ids)
            clear_journal(out)
            _print_summary(result, predictor, None if score == "auto" else max(scores.values()), out)
            if "label-studio" in scores and result.predictions:
                print(local_files([prediction.file for prediction in result.predictions]))
        group.gather(None)  # torchrun would end the leader's writing when another leaves with status 1
    if group.is_main:
        exit_if_unreadable(result.unreadable, len(images))
    sys.exit(1 if result.unreadable else 0)


def _coco_ids(
    annotations: Path | None, predictor: Predictor, images: Sequence[Path]
) -> tuple[CocoIds | None, list[str]]:
    """Return the ids of a file, or of the data set that the images belong to, and what to say about them."""
    from detect.inference.coco_ids import coco_ids, find_coco_ids

    if annotations is not None:
        ids = coco_ids(annotations, images, predictor.classes)
        return ids, [ids.warning] if ids.warning else []
    matched = find_coco_ids(predictor.config.data, images, predictor.classes)
    warnings = [] if matched.ids is None or matched.ids.warning is None else [matched.ids.warning]
    return matched.ids, [matched.note, *warnings]


def _describe_scores(scores: Mapping[str, float]) -> list[str]:
    """Return the line on the lowest score of each format where they are for scoring, whose default is another."""
    from detect.inference.result_formats import SHOWN_SCORE

    if set(scores.values()) == {SHOWN_SCORE}:
        return []
    by_score = {score: [name for name in scores if scores[name] == score] for score in sorted(set(scores.values()))}
    texts = [f"{score:g} in {' and '.join(names)}" for score, names in by_score.items()]
    return [f"lowest score: {', '.join(texts)}, as coco and voc are for scoring (--score sets one for all)"]


def _check_video_options(
    has_videos: bool,
    fps: float | None,
    every: int | None,
    track: bool,
    proposals: Path | None,
    annotations: Path | None,
) -> None:
    """Raise UserError for options of images with a video, and for options of videos with images."""
    if has_videos or fps is not None:
        refused = {"--proposals": proposals, "--annotations": annotations, "--fps": fps if has_videos else None}
        for option in (option for option, setting in refused.items() if setting is not None):
            raise UserError(f"{option}: expected images together with it, found {'a video' if has_videos else '--fps'}")
        return
    for option in (option for option, is_set in {"--every": every is not None, "--track": track}.items() if is_set):
        raise UserError(f"{option}: expected a video together with it, or --fps for images that are its frames")


def _print_notes(search: ImageSearch, draws_images: bool) -> None:
    """Print what is passed over, and how many drawings get another name than their image."""
    from detect.inference.predict import count_shortened_names

    for note in search.notes():
        print(note, flush=True)
    num_shortened = count_shortened_names(search.images) if draws_images else 0
    if num_shortened:
        print(f"{num_shortened} names of drawings are shortened: with .jpg they have more than 255 bytes", flush=True)


def _print_summary(result: PredictionResult, predictor: Predictor, score: float | None, out: Path) -> None:
    """Print what was detected in each of few images, then the number of detections, the time and the precision.

    Only detections that score at least ``score`` are listed; those below it, in formats for scoring, are counted. None:
    each class has a score of its own.
    """
    shown = [prediction.select(prediction.scores >= (score or 0.0)) for prediction in result.predictions]
    if len(shown) <= MAX_LISTED:
        for prediction in shown:
            print(_on_one_line(f"{prediction.file}: {_describe(prediction, predictor.classes)}"))
    count, num_images = sum(map(len, shown)), len(shown)
    num_below = sum(map(len, result.predictions)) - count
    lowest = "the score of its class" if score is None else f"{score:g}"
    choice = predictor.precision_choice
    print(
        f"{count} {'detection that scores' if count == 1 else 'detections that score'} {lowest} or more"
        f"{f' and {num_below} below' if num_below else ''} in "
        f"{num_images} {'image' if num_images == 1 else 'images'}, in {out}: "
        f"{result.seconds:.1f} s, the model computing {result.model_seconds / result.seconds:.0%} of it"
        f"{'' if choice is None else f', in {choice.precision} ({choice.reason})'}"
    )


def _on_one_line(text: str) -> str:
    """Return a text that any terminal prints as one line: a file name may have line breaks, and letters it lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    return " ".join(text.splitlines()).encode(encoding, "backslashreplace").decode(encoding)


def _describe(prediction: Prediction, classes: Sequence[str]) -> str:
    """Return the best detections of an image as text: ``dog 0.98, cat 0.71``."""
    best = sorted(zip(prediction.scores, prediction.labels, strict=True), key=lambda pair: -pair[0])[:MAX_LISTED]
    texts = [f"{classes[int(label) - 1]} {score:.2f}" for score, label in best]
    more = len(prediction) - len(texts)
    return ", ".join([*texts, f"{more} more"] if more else texts) or "nothing"
