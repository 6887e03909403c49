"""The formats in which detections are written, and the score from which each has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from detect.data.images import is_image
from detect.evaluation.predictions import Prediction
from detect.inference.coco_ids import CocoIds, images_file, remove_coco_images, write_coco_images
from detect.inference.earlier_results import describe_earlier_photos, require_same_classes
from detect.inference.find_images import ResultFolder
from detect.inference.labeling_results import write_cvat, write_label_studio
from detect.inference.result_writers import (
    require_comp4_classes,
    write_coco,
    write_comp4,
    write_csv,
    write_frames,
    write_json,
)
from detect.inference.yolo_results import count_boxes_outside, write_yolo, write_yolo_labels
from detect.system.numbers import format_count

ResultFormat = Literal["json", "csv", "coco", "voc", "yolo", "yolo-labels", "label-studio", "cvat"]
RESULT_FORMATS: tuple[ResultFormat, ...] = get_args(ResultFormat)
FOLDER_FORMATS = frozenset({"voc", "yolo", "yolo-labels", "label-studio"})  # the others are files

_WITHOUT_MASKS = frozenset({"csv", "voc", "yolo", "yolo-labels"})
_WITHOUT_TRACKS = frozenset({"yolo-labels", "label-studio", "cvat"})  # labels to correct or to train on
_WITH_PHOTOS = frozenset({"yolo-labels", "label-studio"})  # they lead to the photos where these lie
_FOR_SCORING = frozenset({"coco", "voc"})  # an AP needs the detections of low scores: 0.5 cost 4 points of it on VOC
SCORING_SCORE, SHOWN_SCORE = 0.05, 0.5


def default_score(name: str) -> float:
    """Return the lowest score of the detections in a format: 0.05 where it is for scoring, else 0.5."""
    return SCORING_SCORE if name in _FOR_SCORING else SHOWN_SCORE


def file_name(name: ResultFormat) -> str:
    """Return the name of the file or folder of a format below ``--out``."""
    files: dict[str, str] = {"json": "predictions.json", "csv": "predictions.csv", "coco": "coco_results.json"}
    files |= {"cvat": "annotations.xml"}
    return files.get(name, name)


def picture_folders(out: Path) -> tuple[ResultFolder, ...]:
    """Return the folders below ``--out`` that get drawings, called ``a.png.jpg``, and links to photos."""
    return ResultFolder(out / "images", _is_drawing), ResultFolder(out / file_name("yolo-labels"), Path.is_symlink)


def _is_drawing(entry: Path) -> bool:
    return entry.suffix == ".jpg" and is_image(Path(entry.stem))


def write_results(
    out: Path,
    scores: Mapping[str, float],
    predictions: Sequence[Prediction],
    classes: Sequence[str],
    ids: CocoIds | None,
) -> None:
    """Write each format to a file or folder in ``out``. If ``ids`` is None, coco gets a second file with its ids.

    scores: the lowest score of each format; other names than those of formats are ignored. ``frames.csv`` counts the
    detections of the highest of these scores, and those that continue a track.
    """
    if any(prediction.frame for prediction in predictions):
        highest = max(scores.values())
        write_frames(out / "frames.csv", [select_score(prediction, highest) for prediction in predictions])
    for name in RESULT_FORMATS:
        if name in scores:
            chosen = [select_score(prediction, scores[name]) for prediction in predictions]
            write_format(out / file_name(name), name, chosen, classes, ids)


def select_score(prediction: Prediction, score: float) -> Prediction:
    """Return the detections of at least ``score``, and those that continue a track."""
    keep = prediction.scores >= score
    return prediction.select(keep if prediction.tracks is None else keep | (prediction.tracks > 0))


def describe_lost_fields(names: Iterable[str], predictions: Sequence[Prediction]) -> list[str]:
    """Return a line for each format and each field of the predictions, masks and tracks, that it has no field for."""
    without = {
        "masks": _WITHOUT_MASKS if any(prediction.masks is not None for prediction in predictions) else (),
        "tracks": _WITHOUT_TRACKS if any(prediction.tracks is not None for prediction in predictions) else (),
    }
    return [
        f"{name} has no field for {field}: not written"
        for name in names
        for field, formats in without.items()
        if name in formats
    ]


def describe_left_out(name: str, predictions: Sequence[Prediction]) -> list[str]:
    """Return a line with the count of the photos that a format needs and that are not here.

    Another one has the count of the boxes that yolo-labels leaves out.
    """
    lines = []
    missing = [image.file for image in predictions if not Path(image.file).is_file()] if name in _WITH_PHOTOS else []
    if missing:
        count = format_count(len(missing), "photo")
        lines.append(f"{name}: {count} not found, so not linked to, {missing[0]} first; name them with --images")
    outside = sum(map(count_boxes_outside, predictions)) if name == "yolo-labels" else 0
    if outside:
        lines.append(f"{name}: {format_count(outside, 'box', 'boxes')} outside the photo left out")
    return lines


def require_result_classes(out: Path, names: Collection[str], classes: Sequence[str]) -> None:
    """Raise UserError for a class that a format of ``names`` cannot have, or results of other classes in ``out``."""
    if "voc" in names:
        require_comp4_classes(classes)
    for name in RESULT_FORMATS:
        if name in names:
            require_same_classes(out / file_name(name), name, classes)


def describe_earlier_results(out: Path, names: Collection[str], predictions: Sequence[Prediction]) -> list[str]:
    """Return a line for each format whose folder in ``out`` has labels of photos that are not in the predictions."""
    formats = [name for name in RESULT_FORMATS if name in names]
    return [line for name in formats for line in describe_earlier_photos(out / file_name(name), name, predictions)]


def write_format(
    path: Path, name: ResultFormat, predictions: Sequence[Prediction], classes: Sequence[str], ids: CocoIds | None
) -> None:
    """Write one format to a file, or to a folder for those in FOLDER_FORMATS.

    If ``ids`` is None, coco gets new ids, and the list of its images beside it; else such a list of an earlier run is
    removed. Raises UserError for a folder with results of other classes.
    """
    require_same_classes(path, name, classes)
    if name == "json":
        write_json(path, predictions, classes)
    elif name == "csv":
        write_csv(path, predictions, classes)
    elif name == "voc":
        write_comp4(path, predictions, classes)
    elif name == "yolo":
        write_yolo(path, predictions, classes)
    elif name == "yolo-labels":
        write_yolo_labels(path, predictions, classes)
    elif name == "label-studio":
        write_label_studio(path, predictions, classes)
    elif name == "cvat":
        write_cvat(path, predictions, classes)
    elif ids is None:
        write_coco(path, predictions, range(1, len(predictions) + 1), range(1, len(classes) + 1))
        write_coco_images(images_file(path), predictions, classes)
    else:
        image_ids = [ids.image_ids[prediction.file] for prediction in predictions]
        category_ids = ids.detected_category_ids(predictions, classes)
        remove_coco_images(path, ids)
        write_coco(path, predictions, image_ids, category_ids)
