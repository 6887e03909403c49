"""``detect predict`` on image files: all results in memory, then in files that people open."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.options import ModelArguments
from detect.cli.resumed_precision import resumed_precision
from detect.errors import UserError
from detect.system.files import require_writable_folder
from detect.system.numbers import format_count

if TYPE_CHECKING:
    from detect.evaluation.predictions import Prediction
    from detect.inference.coco_ids import CocoIds
    from detect.inference.find_images import ImageSearch
    from detect.inference.predict import PredictionResult
    from detect.inference.predictor import Predictor
    from detect.report.class_scores import ClassScores
    from detect.system.distributed import ProcessGroup

MAX_LISTED = 10  # images, and detections of each, that are printed


@dataclass(frozen=True)
class ImageArguments:
    """The arguments of a run on images: the options of ``detect predict``."""

    model: ModelArguments
    paths: tuple[str, ...]
    out: Path
    formats: tuple[str, ...]
    score: float | Literal["auto"] | None
    workers: int
    proposals: Path | None
    annotations: Path | None


def predict_on_images(arguments: ImageArguments) -> NoReturn:
    """Detect on the images, write the results, and exit with 1 if an image could not be read."""
    from detect.inference.find_images import search_images
    from detect.inference.result_formats import picture_folders

    search = search_images(arguments.paths, picture_folders(arguments.out))
    require_writable_folder(arguments.out)
    _check_formats(arguments, search.images)
    from detect.system.distributed import init_process_group

    with init_process_group(arguments.model.device) as group:
        result = _predict(arguments, search, group)
        group.gather(None)  # torchrun would end the leader's writing when another leaves with status 1
    if group.is_main:
        exit_if_unreadable(result.unreadable, len(search.images))
    sys.exit(1 if result.unreadable else 0)


def _check_formats(arguments: ImageArguments, images: Sequence[Path]) -> None:
    """Raise UserError for images and options that a format cannot be written with."""
    from detect.inference.yolo_results import require_places

    if "yolo-labels" in arguments.formats:
        require_places(arguments.out / "yolo-labels", list(map(str, images)))
    for image in images if "voc" in arguments.formats else ():
        if len(str(image).splitlines()) > 1:
            raise UserError(f"--format voc: expected names on one line, found {str(image)!r}")
    if arguments.annotations is not None and "coco" not in arguments.formats:
        raise UserError("--annotations: expected --format coco together with it")


def _predict(arguments: ImageArguments, search: ImageSearch, group: ProcessGroup) -> PredictionResult:
    """Detect and write the results; the main process prints what was chosen, and a summary."""
    from detect.inference.detect_batches import PredictOptions
    from detect.inference.predict import predict_images
    from detect.inference.result_formats import require_result_classes
    from detect.system.progress import show_progress

    scores = _minimum_scores(arguments)
    predictor = _load_predictor(arguments.model, arguments.out, group)
    require_result_classes(arguments.out, scores, predictor.classes)
    labels = options.class_labels(arguments.model.classes, predictor.classes)
    best = _best_scores(arguments, predictor, group)
    predict_options = PredictOptions(
        score=min(scores.values()),
        labels=labels,
        drawn_score=scores.get("images"),
        class_scores=None if best is None else best.scores,
    )
    ids, coco_notes = _coco_ids(arguments.annotations, predictor, search.images) if "coco" in scores else (None, [])
    console = Console(quiet=not group.is_main)
    if group.is_main:
        _print_notes(search, "images" in scores)
        for line in [*coco_notes, *_score_notes(arguments, predictor, best)]:
            print(line, flush=True)
    with show_progress(console, "detecting", len(search.images), "images") as progress:
        result = predict_images(
            predictor,
            search.images,
            arguments.out,
            predict_options,
            arguments.model.batch_size,
            arguments.workers,
            progress,
            arguments.proposals,
            group,
        )
    if group.is_main:
        _write(arguments, result, predictor, ids)
    return result


def _minimum_scores(arguments: ImageArguments) -> dict[str, float]:
    """Return the minimum score by format; 0 where each class has a score of its own."""
    from detect.inference.result_formats import default_score

    names = arguments.formats or ("json", "images")
    if arguments.score is None:
        return {name: default_score(name) for name in names}
    return dict.fromkeys(names, 0.0 if arguments.score == "auto" else arguments.score)


def _load_predictor(model: ModelArguments, out: Path, group: ProcessGroup) -> Predictor:
    """Load the model, in float32 where several processes would each choose a precision for itself."""
    from detect.inference.load import load
    from detect.inference.predict import JOURNAL_FILE

    if group.size > 1 and model.precision == "auto":
        return load(model.model, model.device, "fp32", model.settings)
    return load(model.model, model.device, resumed_precision(model.precision, out / JOURNAL_FILE), model.settings)


def _best_scores(arguments: ImageArguments, predictor: Predictor, group: ProcessGroup) -> ClassScores | None:
    """Return the scores of best F1 by class, with ``--score auto``; None without it."""
    if arguments.score != "auto":
        return None
    from detect.report.class_scores import best_class_scores

    console = Console(quiet=not group.is_main)
    return group.main_process_first(lambda: best_class_scores(predictor, arguments.out, console))


def _score_notes(arguments: ImageArguments, predictor: Predictor, best: ClassScores | None) -> list[str]:
    """Return the lines on the minimum scores."""
    from detect.inference.lowest_score import describe_format_scores, describe_lowest_score

    if best is not None:
        return list(best.lines)
    scores = _minimum_scores(arguments)
    by_format = describe_format_scores(scores) if arguments.score is None else []
    return by_format + describe_lowest_score(predictor, min(scores.values()))


def _write(arguments: ImageArguments, result: PredictionResult, predictor: Predictor, ids: CocoIds | None) -> None:
    """Write the results, remove the journal, and print the summary."""
    from detect.data.frames import describe_unread_frames
    from detect.inference.labeling_results import local_files
    from detect.inference.predict import clear_journal
    from detect.inference.result_formats import describe_earlier_results, describe_lost_fields, write_results

    scores = _minimum_scores(arguments)
    write_results(arguments.out, scores, result.predictions, predictor.classes, ids)
    clear_journal(arguments.out)
    _print_summary(result, predictor, None if arguments.score == "auto" else max(scores.values()), arguments.out)
    for line in describe_earlier_results(arguments.out, scores, result.predictions):
        print(line)
    if "label-studio" in scores and result.predictions:
        print(local_files([prediction.file for prediction in result.predictions]))
    for line in describe_lost_fields(scores, result.predictions):
        print(line)
    frames = describe_unread_frames([Path(prediction.file) for prediction in result.predictions])
    if frames:
        print(_on_one_line(frames))


def _coco_ids(
    annotations: Path | None, predictor: Predictor, images: Sequence[Path]
) -> tuple[CocoIds | None, list[str]]:
    """Return the ids of a file, or of the data set that the images belong to, and what to say about them."""
    from detect.inference.coco_ids import coco_ids, find_coco_ids

    if annotations is not None:
        ids = coco_ids(annotations, list(map(str, images)), predictor.classes)
        return ids, [ids.warning] if ids.warning else []
    matched = find_coco_ids(predictor.config.data, images, predictor.classes)
    warnings = [] if matched.ids is None or matched.ids.warning is None else [matched.ids.warning]
    return matched.ids, [matched.note, *warnings]


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
    from detect.inference.lowest_score import count_by_score

    shown = [prediction.select(prediction.scores >= (score or 0.0)) for prediction in result.predictions]
    if len(shown) <= MAX_LISTED:
        for prediction in shown:
            print(_on_one_line(f"{prediction.file}: {_describe(prediction, predictor.classes)}"))
    choice = predictor.precision_choice
    print(
        f"{count_by_score(result.predictions, score)} in {format_count(len(shown), 'image')}, in {out}: "
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
