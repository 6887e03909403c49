"""Writes detections to result files, each completely or not at all. ``result_readers.py`` reads them.

Numbers are written so that reading them gives the same float. Rounded scores could be equal and change the ranking.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from detect.data.formats.mask_json import mask_record
from detect.data.image_names import relative_to_shared_folder
from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.system.files import write_text

_UNNAMED = "N/A "  # torchvision's published weights have ten such labels of COCO's 90, which it never detects


def is_unnamed(class_name: str) -> bool:
    """Return True for a class that weights have without a name, as torchvision's have ``N/A 12``."""
    return class_name.startswith(_UNNAMED)


def write_json(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write ``predictions.json``: an image per line, detections best first, boxes in pixels of the original image."""
    write_text(path, _json_lines(image_record(prediction, classes) for prediction in predictions))


def write_csv(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write ``predictions.csv``: ``file,label,score,x1,y1,x2,y2``, one detection per row, best first in each image.

    Detections of a video have ``frame,time`` besides, and ``track`` where they are tracked, empty for none.
    """
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    of_video = ("frame", "time") if any(prediction.frame for prediction in predictions) else ()
    of_track = ("track",) if any(prediction.tracks is not None for prediction in predictions) else ()
    rows.writerow(("file", "label", "score", "x1", "y1", "x2", "y2", *of_video, *of_track))
    for prediction in predictions:
        frame_cells = () if prediction.frame is None else (prediction.frame.index, prediction.frame.seconds)
        for (box, label, score), track in zip(sorted_by_score(prediction), tracks_by_score(prediction), strict=True):
            track_cell = (track or "",) if of_track else ()
            rows.writerow((prediction.file, classes[label - 1], score, *box, *frame_cells, *track_cell))
    write_text(path, stream.getvalue())


def write_frames(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write ``frames.csv``: ``file,frame,time,width,height,detections``, for each frame of the videos, in order.

    It has the times of the formats that have no field for them, and the frames without detections.
    """
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(("file", "frame", "time", "width", "height", "detections"))
    for prediction in predictions:
        if prediction.frame is not None:
            size = (prediction.width, prediction.height)
            rows.writerow((prediction.file, prediction.frame.index, prediction.frame.seconds, *size, len(prediction)))
    write_text(path, stream.getvalue())


def write_comp4(folder: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write VOC's ``comp4_det_<class>.txt`` for each class: ``image score xmin ymin xmax ymax``.

    Corners are 1-based and inclusive. The shift by one is computed in decimal, so that it is exact and
    ``result_readers.read_comp4`` can undo it. Tracked detections have a second file for each class,
    ``tracks_<class>.txt`` with ``image track`` in the same order of lines, 0 for no track. A class without a name has
    no file. Raises UserError for a class whose name no file can have, and for a detection of one without a name.
    """
    require_comp4_classes(classes, predictions)
    named = [index for index, name in enumerate(classes) if not is_unnamed(name)]
    lines: list[list[str]] = [[] for _ in classes]
    track_lines: list[list[str]] = [[] for _ in classes]
    for name, prediction in zip(short_image_names([p.file for p in predictions]), predictions, strict=True):
        for (box, label, score), track in zip(sorted_by_score(prediction), tracks_by_score(prediction), strict=True):
            x1, y1, x2, y2 = box
            lines[label - 1].append(f"{name} {score!r} {_encode_corner(x1)} {_encode_corner(y1)} {x2!r} {y2!r}\n")
            track_lines[label - 1].append(f"{name} {track}\n")
    for index in named:
        write_text(folder / comp4_file(classes[index]), "".join(lines[index]))
    if any(prediction.tracks is not None for prediction in predictions):
        for index in named:
            write_text(folder / f"tracks_{classes[index]}.txt", "".join(track_lines[index]))


def require_comp4_classes(classes: Sequence[str], predictions: Sequence[Prediction] = ()) -> None:
    """Raise UserError for a class whose name cannot be part of a file name, as it would lead into another folder.

    A class without a name is none of them as long as nothing is detected of it.
    """
    detected = {label for prediction in predictions for label in prediction.labels.tolist()}
    for label, name in enumerate(classes, 1):
        if is_unnamed(name) and label not in detected:
            continue
        if PurePath(comp4_file(name)).name != comp4_file(name):
            raise UserError(f"voc: expected class names that a file name can have, found {name}: write json or coco")


def comp4_file(class_name: str) -> str:
    """Return the name of the text file with the detections of a class."""
    return f"comp4_det_{class_name}.txt"


def write_coco(
    path: Path,
    predictions: Sequence[Prediction],
    image_ids: Sequence[int] | np.ndarray,
    category_ids: Sequence[int] | np.ndarray,
) -> None:
    """Write ``coco_results.json``: ``image_id, category_id, bbox [x, y, width, height], score``, best first per image.

    Detections with a mask have ``segmentation`` besides.

    image_ids (N,): one per prediction; category_ids (K,): the id of label k is ``category_ids[k - 1]``.
    """
    rows = (
        row
        for image_id, prediction in zip(image_ids, predictions, strict=True)
        for row in coco_rows(prediction, int(image_id), category_ids)
    )
    write_text(path, _json_lines(rows))


def coco_rows(
    prediction: Prediction, image_id: int, category_ids: Sequence[int] | np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``write_coco`` for one image."""
    masks = _masks_by_score(prediction, "segmentation")
    tracks = _track_records(prediction)
    for ((x1, y1, x2, y2), label, score), mask, track in zip(sorted_by_score(prediction), masks, tracks, strict=True):
        box = [x1, y1, x2 - x1, y2 - y1]
        yield {
            "image_id": image_id,
            "category_id": int(category_ids[label - 1]),
            "bbox": box,
            "score": score,
            **mask,
            **frame_record(prediction),
            **track,
        }


def sorted_by_score(prediction: Prediction) -> Iterator[tuple[list[float], int, float]]:
    """Return (box, label, score) of each detection, best first; detections of equal score keep their order."""
    order = np.argsort(-prediction.scores, kind="stable")
    columns = (prediction.boxes[order], prediction.labels[order], prediction.scores[order])
    return zip(*(column.tolist() for column in columns), strict=True)


def short_image_names(files: Sequence[str]) -> list[str]:
    """Return the shortest names that differ for all images.

    They are the file names without suffix, or the paths below the folder that all images share, without suffix if these
    differ.
    """
    paths = relative_to_shared_folder(files)
    without_suffix = [PurePath(path).with_suffix("").as_posix() for path in paths]
    for names in ([PurePath(path).stem for path in paths], without_suffix):
        if len(set(names)) == len(files):
            return names
    return paths


def image_record(prediction: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    """Return the element of ``predictions.json`` for one image."""
    return {
        "file": prediction.file,
        **frame_record(prediction),
        "width": prediction.width,
        "height": prediction.height,
        "detections": [
            {"box": box, "label": classes[label - 1], "score": score, **track, **mask}
            for (box, label, score), track, mask in zip(
                sorted_by_score(prediction),
                _track_records(prediction),
                _masks_by_score(prediction, "mask"),
                strict=True,
            )
        ],
    }


def tracks_by_score(prediction: Prediction) -> list[int]:
    """Return the track of each detection, best first; 0 for none."""
    if prediction.tracks is None:
        return [0] * len(prediction)
    return [int(track) for track in prediction.tracks[np.argsort(-prediction.scores, kind="stable")]]


def _track_records(prediction: Prediction) -> list[dict[str, Any]]:
    """Return the track of each detection under its key, best first, null for none; nothing if untracked."""
    if prediction.tracks is None:
        return [{}] * len(prediction)
    return [{"track": track or None} for track in tracks_by_score(prediction)]


def frame_record(prediction: Prediction) -> dict[str, Any]:
    """Return the frame and the time in seconds under their keys; nothing for a photo."""
    frame = prediction.frame
    return {} if frame is None else {"frame": frame.index, "time": frame.seconds}


def _masks_by_score(prediction: Prediction, key: str) -> list[dict[str, Any]]:
    """Return COCO's run lengths of each detection under ``key``, best first; nothing where there are no masks."""
    if prediction.masks is None:
        return [{}] * len(prediction)
    order = np.argsort(-prediction.scores, kind="stable")
    return [{key: mask_record(prediction.masks[index])} for index in order]


def _encode_corner(coordinate: float) -> str:
    return str(Decimal(repr(coordinate)) + 1)


def _json_lines(rows: Iterator[dict[str, Any]]) -> str:
    """Return a JSON list with one element per line, so that people can compare two files."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
