"""One example as a pair of figures: an image with its ground truth, and next to it the same image with detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

import numpy as np

from detect.data.annotations import Annotations
from detect.evaluation.analysis.matches import labels_of
from detect.evaluation.assignment import FALSE_POSITIVE, TRUE_POSITIVE
from detect.evaluation.columns import IntArray, rank_in_group
from detect.evaluation.predictions import Prediction
from detect.evaluation.proposal_recall import image_best_ious
from detect.report.examples import AtThresholds, GalleryExample, counts_at_thresholds
from detect.report.outlines import MaskOutlines

_MAX_BOXES, _MAX_NAMED_BOXES = 60, 12  # of a figure: with more the boxes, or the names, cannot be told apart
_LETTERS_PER_WIDTH = 24  # heights of a letter in the width of an image
_TALL_ASPECT = 1.2  # an image whose height times 1.2 exceeds its width is shown smaller, with larger letters
_LETTER_ASPECT = 0.62  # width of a letter over its height, about


@dataclass(frozen=True)
class BoxMark:
    """A box to draw: corner and sides in pixels of the image, and a class of the style sheet.

    text: the name next to the box, its lower left corner at text_x, text_y; "" where there are too many names; outline:
    the SVG path of the mask, "" without one.
    """

    x: float
    y: float
    width: float
    height: float
    css_class: str
    text: str
    text_x: float
    text_y: float
    outline: str


@dataclass(frozen=True)
class Overlay:
    """The boxes drawn on an image; alt_text: a description for screen readers."""

    marks: tuple[BoxMark, ...]
    alt_text: str


@dataclass(frozen=True)
class Card:
    """An example as the page shows it.

    file: the name of the image; image: its index on the page; letter: the height of letters in pixels of the image;
    classes: those for which the filter by class shows it; ground_truth and detections: the boxes of the two figures.
    """

    kind: str
    title: str
    note: str
    file: str
    image: int
    letter: float
    classes: tuple[str, ...]
    ground_truth: Overlay
    detections: Overlay


class CardMaker:
    """Makes the cards of one data set; predictions: those of all images, for their masks."""

    def __init__(self, annotations: Annotations, at: AtThresholds, predictions: Sequence[Prediction]) -> None:
        self.outlines = MaskOutlines(annotations, predictions)
        self.annotations, self.at, self.columns = annotations, at, at.errors.columns
        self.names = ("", *annotations.classes)
        self.gt_labels = labels_of(self.columns, self.columns.ground_truth.groups).tolist()
        self.det_labels = labels_of(self.columns, self.columns.detections.groups).tolist()
        self.gt_ranks = rank_in_group(self.columns.ground_truth.groups).tolist()
        self.counts = counts_at_thresholds(at)
        self.gt_rows, self.det_rows = (_rows_by_image(rows, len(annotations)) for rows in (at.gt_images, at.det_images))

    def card(self, example: GalleryExample, image_index: int) -> Card:
        """Return the card of an example; ``image_index``: of its image on the page."""
        height, width = self.annotations.size(example.image)
        letter = max(width, _TALL_ASPECT * height) / _LETTERS_PER_WIDTH
        title, note = self._error_title(example) if example.label else self._image_title(example)
        gt_rows, det_rows = self.gt_rows[example.image], self._detections_to_draw(example)
        return Card(
            kind=example.kind,
            title=title,
            note=note,
            file=PurePath(self.annotations.file(example.image)).name,
            image=image_index,
            letter=round(letter, 1),
            classes=self._classes(example, gt_rows, det_rows),
            ground_truth=self._overlay([self._gt_mark(row, example) for row in gt_rows], width, letter),
            detections=self._overlay([self._det_mark(row, example) for row in det_rows], width, letter),
        )

    def _detections_to_draw(self, example: GalleryExample) -> list[int]:
        """Return the detections at or above their thresholds, best first, and the one that the example is about."""
        rows = self.det_rows[example.image]
        rows = [row for row in rows if self.at.above_threshold[row] or row == example.det_index]
        return sorted(rows, key=lambda row: -self.columns.detections.scores[row])

    def _classes(self, example: GalleryExample, gt_rows: Sequence[int], det_rows: Sequence[int]) -> tuple[str, ...]:
        """Return the classes of an error and of the object that it is about, or all classes on a whole image."""
        if example.label:
            labels = {example.label, *(self.gt_labels[row] for row in [example.gt_index] if row >= 0)}
        else:
            labels = {*(self.gt_labels[row] for row in gt_rows), *(self.det_labels[row] for row in det_rows)}
        return tuple(self.names[label] for label in sorted(labels))

    def _image_title(self, example: GalleryExample) -> tuple[str, str]:
        """Return the title of a whole image, and no note."""
        counts = self.counts
        columns = (counts.true_positives, counts.false_positives, counts.false_negatives)
        true, false, missed = (int(column[example.image]) for column in columns)
        return f"{true} found, {false} false, {missed} missed", ""

    def _error_title(self, example: GalleryExample) -> tuple[str, str]:
        """Return the title and the note of an error."""
        name = self.names[example.label]
        gt_boxes, det_boxes = self.columns.ground_truth.boxes.corners, self.columns.detections.boxes.corners
        if example.det_index < 0:
            x1, y1, x2, y2 = gt_boxes[example.gt_index].tolist()
            return name, f"{x2 - x1:.0f} \N{MULTIPLICATION SIGN} {y2 - y1:.0f} pixels, not detected"
        title, note = f"{name} {self.columns.detections.scores[example.det_index]:.2f}", _NOTES[example.kind]
        if example.gt_index < 0:
            return title, note
        iou = image_best_ious(det_boxes[[example.det_index]], gt_boxes[[example.gt_index]], [1])[0, 0]
        return title, f"{note} {self.names[self.gt_labels[example.gt_index]]}, IoU {iou:.2f}"

    def _gt_mark(self, row: int, example: GalleryExample) -> _Box:
        """Return the box of an object."""
        ground_truth = self.columns.ground_truth
        css_class = "ignored" if ground_truth.ignore[row] else "truth" if self.at.matched[row] else "missed"
        text = self.names[self.gt_labels[row]]
        outline = self.outlines.of_object(int(self.at.gt_images[row]), self.gt_labels[row], self.gt_ranks[row])
        css_class += _HIGHLIGHTED * (row == example.gt_index)
        return _Box(ground_truth.boxes.corners[row], css_class, text, outline)

    def _det_mark(self, row: int, example: GalleryExample) -> _Box:
        """Return the box of a detection."""
        detections, outcome = self.columns.detections, int(self.at.errors.outcome[row])
        css_class = {TRUE_POSITIVE: "true", FALSE_POSITIVE: "false"}.get(outcome, "ignored")
        text = f"{self.names[self.det_labels[row]]} {detections.scores[row]:.2f}"
        rank = int(detections.ranks[row])
        outline = self.outlines.of_detection(int(self.at.det_images[row]), self.det_labels[row], rank)
        css_class += _HIGHLIGHTED * (row == example.det_index)
        return _Box(detections.boxes.corners[row], css_class, text, outline)

    def _overlay(self, boxes: Sequence[_Box], width: int, letter: float) -> Overlay:
        """Return the boxes of a figure; the highlighted box lies in front."""
        few = len(boxes) <= _MAX_NAMED_BOXES
        drawn = sorted(boxes[:_MAX_BOXES], key=lambda box: box.is_highlighted)
        drawn += [box for box in boxes[_MAX_BOXES:] if box.is_highlighted]
        marks = tuple(_mark(box, few or box.is_highlighted, width, letter) for box in drawn)
        counts = Counter(box.css_class.split()[0] for box in boxes)
        alt_text = ", ".join(f"{count} {_ALT_WORDS[css_class]}" for css_class, count in counts.items())
        return Overlay(marks, alt_text or "nothing")


@dataclass(frozen=True)
class _Box:
    """A box before its place on the page: corners (4,), CSS class, name, and the outline of its mask."""

    corners: np.ndarray
    css_class: str
    text: str
    outline: str

    @property
    def is_highlighted(self) -> bool:
        """Whether the example is about this box."""
        return self.css_class.endswith(_HIGHLIGHTED)


_HIGHLIGHTED = " highlighted"
_NOTES = {
    "classification": "on an object that is",
    "localisation": "too little overlap with",
    "both": "near an object of another class, with too little overlap",
    "duplicate": "on an object that a better detection matches",
    "background": "there is no object",
}
_ALT_WORDS = {
    "truth": "found",
    "missed": "missed",
    "ignored": "ignored",
    "true": "true",
    "false": "false",
}


def _rows_by_image(images: IntArray, num_images: int) -> list[list[int]]:
    """Return the rows of each image; images (N,): the image of each row."""
    order = np.argsort(images, kind="stable")
    edges = np.searchsorted(images[order], np.arange(num_images + 1))
    return [order[start:end].tolist() for start, end in pairwise(edges.tolist())]


def _mark(box: _Box, is_named: bool, width: int, letter: float) -> BoxMark:
    """Return the mark with its text above the box, or in it where there is no room above, and inside the image."""
    x1, y1, x2, y2 = (round(float(corner), 1) for corner in box.corners)
    text = box.text if is_named else ""
    x = max(min(x1, width - len(text) * _LETTER_ASPECT * letter), 0.0)
    y = y1 - 0.3 * letter if y1 > 1.2 * letter else y1 + letter
    sides = round(x2 - x1, 1), round(y2 - y1, 1)
    return BoxMark(x1, y1, *sides, box.css_class, text, round(x, 1), round(y, 1), box.outline)
