"""One example as a pair of pictures: an image with what is there, and beside it what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

import numpy as np

from detect.data.annotations import Annotations
from detect.evaluation.analysis.matches import labels_of
from detect.evaluation.assignment import FALSE, TRUE
from detect.evaluation.columns import Places
from detect.evaluation.proposal_recall import best_overlaps
from detect.report.examples import Example, Judged, tallies

_MOST_BOXES, _MOST_NAMES = 60, 12  # on a picture: beyond that nothing can be told apart, or read
_LETTERS, _TALL = 24, 1.2  # heights of a letter that an image is wide; tall ones are shown smaller
_WIDE = 0.62  # of a letter's height is its width, about


@dataclass(frozen=True)
class Mark:
    """A box to draw: corner and sides in pixels of the image; look: a class of the style sheet.

    text: beside it, its lower left corner at text_x, text_y; "" where there are too many to read.
    """

    x: float
    y: float
    width: float
    height: float
    look: str
    text: str
    text_x: float
    text_y: float


@dataclass(frozen=True)
class Picture:
    """Boxes on an image; said: what is on it in words, for those who do not see it."""

    marks: tuple[Mark, ...]
    said: str


@dataclass(frozen=True)
class Card:
    """What an image is an example of.

    file: its name; image: its number on the page; letter: the height of letters in its pixels; classes: those that a
    filter by class shows it for; truth and found: what to draw on either picture.
    """

    kind: str
    title: str
    note: str
    file: str
    image: int
    letter: float
    classes: tuple[str, ...]
    truth: Picture
    found: Picture


class CardMaker:
    """Of one data set."""

    def __init__(self, annotations: Annotations, judged: Judged) -> None:
        self.annotations, self.judged, self.case = annotations, judged, judged.errors.case
        self.names = ("", *annotations.classes)
        self.truth_labels = labels_of(self.case, self.case.truth.groups).tolist()
        self.found_labels = labels_of(self.case, self.case.found.groups).tolist()
        self.tallies = tallies(judged)
        self.truth_of, self.found_of = (
            _by_image(rows, len(annotations)) for rows in (judged.of_truth, judged.of_found)
        )

    def card(self, example: Example, number: int) -> Card:
        """Of an example on the page's image of this number."""
        height, width = self.annotations.size(example.image)
        letter = max(width, _TALL * height) / _LETTERS
        title, note = self._error(example) if example.label else self._whole(example)
        truth, found = self.truth_of[example.image], self._shown(example)
        return Card(
            kind=example.kind,
            title=title,
            note=note,
            file=PurePath(self.annotations.file(example.image)).name,
            image=number,
            letter=round(letter, 1),
            classes=self._classes(example, truth, found),
            truth=self._picture([self._truth_mark(row, example) for row in truth], width, letter),
            found=self._picture([self._found_mark(row, example) for row in found], width, letter),
        )

    def _shown(self, example: Example) -> list[int]:
        """The detections at their thresholds, best first, and the one that the example is about."""
        rows = [row for row in self.found_of[example.image] if self.judged.kept[row] or row == example.found]
        return sorted(rows, key=lambda row: -self.case.found.scores[row])

    def _classes(self, example: Example, truth: Sequence[int], found: Sequence[int]) -> tuple[str, ...]:
        """The class of an error, and of the object that it is about; of a whole image all that are seen on it."""
        if example.label:
            labels = {example.label, *(self.truth_labels[row] for row in [example.truth] if row >= 0)}
        else:
            labels = {*(self.truth_labels[row] for row in truth), *(self.found_labels[row] for row in found)}
        return tuple(self.names[label] for label in sorted(labels))

    def _whole(self, example: Example) -> tuple[str, str]:
        found, false, missed = (int(column[example.image]) for column in self.tallies)
        return f"{found} found, {false} false, {missed} missed", ""

    def _error(self, example: Example) -> tuple[str, str]:
        name = self.names[example.label]
        if example.found < 0:
            x1, y1, x2, y2 = self.case.truth.boxes.corners[example.truth].tolist()
            return name, f"{x2 - x1:.0f} \N{MULTIPLICATION SIGN} {y2 - y1:.0f} pixels, nothing found there"
        title, note = f"{name} {self.case.found.scores[example.found]:.2f}", _NOTES[example.kind]
        if example.truth < 0:
            return title, note
        found, truth = self.case.found.boxes.corners[[example.found]], self.case.truth.boxes.corners[[example.truth]]
        overlap = best_overlaps(found, truth, [1])[0, 0]
        return title, f"{note} {self.names[self.truth_labels[example.truth]]}, IoU {overlap:.2f}"

    def _truth_mark(self, row: int, example: Example) -> tuple[np.ndarray, str, str]:
        look = "lenient" if self.case.truth.lenient[row] else "truth" if self.judged.taken[row] else "missed"
        text = self.names[self.truth_labels[row]]
        return self.case.truth.boxes.corners[row], look + " meant" * (row == example.truth), text

    def _found_mark(self, row: int, example: Example) -> tuple[np.ndarray, str, str]:
        look = {TRUE: "true", FALSE: "false"}.get(int(self.judged.errors.outcome[row]), "lenient")
        text = f"{self.names[self.found_labels[row]]} {self.case.found.scores[row]:.2f}"
        return self.case.found.boxes.corners[row], look + " meant" * (row == example.found), text

    def _picture(self, marks: Sequence[tuple[np.ndarray, str, str]], width: int, letter: float) -> Picture:
        """What the example is about lies in front."""
        named = len(marks) <= _MOST_NAMES
        shown = sorted(marks[:_MOST_BOXES], key=lambda mark: mark[1].endswith("meant"))
        shown += [mark for mark in marks[_MOST_BOXES:] if mark[1].endswith("meant")]
        drawn = tuple(
            _mark(corners, look, text if named or look.endswith("meant") else "", width, letter)
            for corners, look, text in shown
        )
        counts = Counter(look.split()[0] for _, look, _ in marks)
        said = ", ".join(f"{count} {_SAID[look]}" for look, count in counts.items())
        return Picture(drawn, said or "nothing")


_NOTES = {
    "classification": "on an object that is",
    "localisation": "too little overlap with",
    "both": "near an object of another class, and badly placed",
    "duplicate": "of an object that another detection has",
    "background": "nothing is there",
}
_SAID = {
    "truth": "found",
    "missed": "missed",
    "lenient": "that do not count",
    "true": "true",
    "false": "false",
}


def _by_image(images: Places, count: int) -> list[list[int]]:
    """The rows of each image."""
    order = np.argsort(images, kind="stable")
    edges = np.searchsorted(images[order], np.arange(count + 1))
    return [order[start:end].tolist() for start, end in pairwise(edges.tolist())]


def _mark(corners: np.ndarray, look: str, text: str, width: int, letter: float) -> Mark:
    """The text above the box, or in it where there is no room above; inside the image."""
    x1, y1, x2, y2 = (round(float(corner), 1) for corner in corners)
    x = max(min(x1, width - len(text) * _WIDE * letter), 0.0)
    y = y1 - 0.3 * letter if y1 > 1.2 * letter else y1 + letter
    return Mark(x1, y1, round(x2 - x1, 1), round(y2 - y1, 1), look, text, round(x, 1), round(y, 1))
