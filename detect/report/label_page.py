"""The page of suspicious labels: each as two figures, the image with its labels and with what the detector says."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from detect.data.annotations import Annotations
from detect.data.images import read_image
from detect.draw import LabeledBoxes, draw_detections, encode_jpeg
from detect.errors import UnreadableImage
from detect.evaluation.analysis.label_suspects import LabelSuspect
from detect.system.files import write_text

MAX_CARDS = 200  # suspects of a page: 60 kB each
_MAX_SIDE = 480  # pixels of a figure
_MARGIN = 0.75  # of the box's longer side, shown on each side of it
_MIN_MARGIN = 40.0  # pixels of the image


@dataclass(frozen=True)
class SuspectCard:
    """A suspect as the page shows it. labels and detection: data URIs of its two figures."""

    title: str
    file: str
    labels: str
    detection: str


def suspect_title(suspect: LabelSuspect, annotations: Annotations) -> str:
    """Return a suspect in words: ``wrong-class 0.93: cat, the model says dog 0.97``."""
    name = annotations.classes[suspect.label - 1]
    opening = f"{suspect.kind} {suspect.suspicion:.2f}"
    if suspect.object is None:
        return f"{opening}: the model finds {name} {suspect.score:.2f} where no object is labelled"
    labelled = annotations.classes[annotations[suspect.image].labels[suspect.object] - 1]
    if suspect.kind == "double":
        return f"{opening}: {labelled} labelled twice"
    if suspect.kind == "unconfirmed":
        return f"{opening}: {labelled}, which no detection overlaps"
    return f"{opening}: {labelled}, the model finds {name} {suspect.score:.2f}"


def write_label_page(
    file: Path, title: str, notes: Sequence[str], suspects: Sequence[LabelSuspect], annotations: Annotations
) -> int:
    """Write one HTML page, without a script or a network, of the first 200 suspects whose images can be read.

    Returns the number of suspects on the page.
    """
    cards = [card for suspect in suspects[:MAX_CARDS] if (card := _make_card(suspect, annotations)) is not None]
    environment = Environment(loader=PackageLoader("detect.report"), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("label_suspects.html")
    write_text(file, page.render(title=title, notes=notes, cards=cards, num_suspects=len(suspects)))
    return len(cards)


def _make_card(suspect: LabelSuspect, annotations: Annotations) -> SuspectCard | None:
    """Return the card of a suspect; None if its image cannot be read."""
    annotation = annotations[suspect.image]
    try:
        rgb = read_image(annotation.file)
    except UnreadableImage:
        return None
    boxes = [suspect.box] if suspect.object is None else [suspect.box, annotation.boxes[suspect.object]]
    window = _window(np.asarray(boxes), rgb.shape[:2])
    labels = LabeledBoxes(annotation.boxes, annotation.labels)
    is_detection = suspect.kind not in ("double", "unconfirmed")
    detection = LabeledBoxes(suspect.box.reshape(1, 4), [suspect.label], [suspect.score] if is_detection else None)
    return SuspectCard(
        title=suspect_title(suspect, annotations),
        file=annotation.file,
        labels=_data_uri(rgb, window, labels, annotations.classes),
        detection=_data_uri(rgb, window, detection, annotations.classes),
    )


def _window(boxes: np.ndarray, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return x1 y1 x2 y2 of the part of an image of ``size`` (h, w) that shows boxes (N, 4) and what is around them."""
    (x1, y1), (x2, y2) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    margin = max(_MIN_MARGIN, _MARGIN * max(x2 - x1, y2 - y1))
    height, width = size
    left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
    right, bottom = min(width, int(x2 + margin) + 1), min(height, int(y2 + margin) + 1)
    return min(left, width - 1), min(top, height - 1), max(right, left + 1), max(bottom, top + 1)


def _data_uri(rgb: np.ndarray, window: tuple[int, int, int, int], boxes: LabeledBoxes, classes: Sequence[str]) -> str:
    """Return the window of an image, with the boxes (in pixels of the whole image) that it touches, as a data URI."""
    x1, y1, x2, y2 = window
    shifted = boxes.boxes - np.asarray([x1, y1, x1, y1])
    inside = (shifted[:, 2] > 0) & (shifted[:, 3] > 0) & (shifted[:, 0] < x2 - x1) & (shifted[:, 1] < y2 - y1)
    scores = None if boxes.scores is None else np.asarray(boxes.scores)[inside]
    drawn = LabeledBoxes(shifted[inside], np.asarray(boxes.labels)[inside], scores)
    figure = draw_detections(np.ascontiguousarray(rgb[y1:y2, x1:x2]), drawn, classes)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(figure, _MAX_SIDE)).decode()
