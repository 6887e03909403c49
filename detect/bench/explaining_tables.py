"""The scores of explanations as tables: the mean of each column with its interval, and what the notes must say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from detect.bench.explaining_cases import MATCH_IOU
from detect.bench.explaining_intervals import REPLICATES, Values, mean_of_photos, num_measured
from detect.bench.explaining_protocols import (
    PROTOCOL_COLUMNS,
    PROTOCOL_NOTES,
    SIMILARITY_COLUMNS,
    SIMILARITY_INSERTION,
    SIMILARITY_NOTE,
)
from detect.bench.explaining_records import PhotoScores
from detect.bench.explaining_scores import EMPTY, ENERGY, GAIN, LEAKAGE, POINTING
from detect.bench.explaining_targets import targets_table
from detect.bench.gradcam_peer import PREFIX, grad_cam_version
from detect.bench.result_tables import BenchmarkTable, Cell
from detect.evaluation.analysis.bootstrap import MIN_IMAGES

FLAT_BOX = "flat box"
CORRELATION = "correlation of disjoint boxes"
SEED_STD = "std of energy over seeds"
SECONDS = "s per detection"
RANDOM_WEIGHTS = "correlation with random weights"
RANDOM_IN_PROPOSAL = "the same, in the proposal"
COLUMNS = (ENERGY, POINTING, GAIN, LEAKAGE, CORRELATION, RANDOM_WEIGHTS, RANDOM_IN_PROPOSAL, SEED_STD, SECONDS)
TITLE = "Explanations on objects with masks"


def explanation_tables(
    photos: Sequence[PhotoScores], names: Sequence[str], score: float, min_detections: int | None, command: str
) -> list[BenchmarkTable]:
    """Return the tables of the photos' scores: of all methods, and of the targets of those of ours (``names``).

    A method that failed on any photo has no row: its mean would be over other detections. command: makes them again.
    """
    explained = [scores for scores in photos if scores.num_detections]
    failed = Counter(name for scores in explained for name in scores.failures)
    methods = [name for name in (explained[0].values if explained else {}) if name not in failed]
    rows = tuple((name, *_row(explained, name, COLUMNS)) for name in methods)
    notes = [*_sample_notes(photos, score, min_detections), *_method_notes(explained, methods)]
    notes += [_failure_note(explained, name) for name in sorted(failed)]
    if grad_cam_version() is None:
        notes.append("pytorch-grad-cam is not installed: pip install grad-cam")
    table = BenchmarkTable(TITLE, command, ("method", *COLUMNS), rows, tuple(notes))
    peers = [name for name in methods if name.startswith(PREFIX)]
    return [
        table,
        targets_table(explained, [name for name in names if name in methods], FLAT_BOX, peers, command),
        _protocol_table(explained, methods, command),
    ]


def _protocol_table(photos: Sequence[PhotoScores], methods: Sequence[str], command: str) -> BenchmarkTable:
    """Return the scores of D-RISE and ODAM; those of D-RISE's similarity where they were measured."""
    measured = bool(photos) and all(SIMILARITY_INSERTION in scores.values[FLAT_BOX] for scores in photos)
    columns = (*PROTOCOL_COLUMNS, *(SIMILARITY_COLUMNS if measured else ()))
    rows = tuple((name, *_row(photos, name, columns)) for name in methods)
    notes = (*PROTOCOL_NOTES, *((SIMILARITY_NOTE,) if measured else ()))
    return BenchmarkTable("Published protocols", command, ("method", *columns), rows, notes)


def _row(photos: Sequence[PhotoScores], method: str, columns: Sequence[str]) -> list[Cell]:
    return [mean_of_photos(_measured(photos, method, column)) for column in columns]


def _measured(photos: Sequence[PhotoScores], method: str, column: str) -> list[Values]:
    """Return the values of the photos on which a column was measured: of some columns that is the first few."""
    return [scores.values[method][column] for scores in photos if column in scores.values[method]]


def _sample_notes(photos: Sequence[PhotoScores], score: float, min_detections: int | None) -> list[str]:
    """Return the sentences that say what the table is of."""
    explained = [scores for scores in photos if scores.num_detections]
    num_detections = sum(scores.num_detections for scores in explained)
    leakages = [scores.values[FLAT_BOX][LEAKAGE] for scores in explained]
    num_leakages = sum(leakage is not None for of_photo in leakages for leakage in of_photo)
    notes = [
        f"{num_detections} detections with a score of at least {score:g} that match an object with a mask (IoU "
        f"{MATCH_IOU:g}), in {len(explained)} of {len(photos)} images; energy, pointing and leakage are measured on "
        "masks.",
        f"leakage: fraction of the map on other objects of the class, for the {num_leakages} detections in "
        f"{num_measured(leakages)} images with such objects; insertion and deletion are relative to the score of the "
        "unchanged image.",
        f"[low, high]: 95% intervals from {REPLICATES} bootstrap samples of the images, each with all its detections; "
        f"none where a column has values of fewer than {MIN_IMAGES} images, of which a bootstrap's are too narrow.",
    ]
    num_unknown = sum(scores.num_unknown for scores in photos)
    if num_unknown:
        notes.append(f"{num_unknown} objects with a mask are of classes that the model does not have: left out")
    if min_detections is not None and num_detections < min_detections:
        notes.append(f"fewer than the {min_detections} detections asked for: the list has no more")
    return notes


def _method_notes(photos: Sequence[PhotoScores], methods: Sequence[str]) -> list[str]:
    """Return the sentences on empty maps, on columns of fewer values, and on costs."""
    empty = {name: sum(int(each or 0) for scores in photos for each in scores.values[name][EMPTY]) for name in methods}
    notes = []
    if any(empty.values()):
        notes.append(
            f"maps without a value above 0: {_listed(empty)}. They score 0 in energy, pointing and VEA, have no "
            "leakage, and insertion and deletion take their pixels from the top"
        )
    pairs = [of_photo for of_photo in _measured(photos, FLAT_BOX, CORRELATION) if of_photo]
    if pairs:
        notes.append(
            f"{CORRELATION}: of {sum(map(len, pairs))} pairs in {len(pairs)} images; a pair with a constant map has "
            "none"
        )
    randomized = sum(RANDOM_WEIGHTS in scores.values[FLAT_BOX] for scores in photos)
    if randomized:
        notes += [_constant_note(photos, methods, column) for column in (RANDOM_WEIGHTS, RANDOM_IN_PROPOSAL)]
        notes.append(
            f"{RANDOM_WEIGHTS}: rank correlation with the map of the same detection and proposal after all weights "
            f"were drawn anew, on {randomized} images; near 0 for a map that depends on the network (Adebayo et al. "
            "2018). It is 1 for the boxes, which do not. A map of a pooled region is 0 where no cell of the region "
            "looks, whatever the weights are, so the next column has the pixels of the proposal alone. The weights "
            "were drawn once, for all images."
        )
    seeds = sum(any(SEED_STD in columns for columns in scores.values.values()) for scores in photos)
    if seeds:
        notes.append(f"{SEED_STD}: on {seeds} images")
    costs = [scores.saliency_cost for scores in photos if scores.saliency_cost is not None]
    if costs:
        notes.append(
            f"saliency takes {np.median(costs):.2f} times one forward and backward pass per detection, all of an image "
            f"together (median of {len(costs)} images)"
        )
    if methods:
        notes.append(
            f"{SECONDS}: in our methods the detections of an image share passes where they can; pytorch-grad-cam "
            "explains them one by one. A method with random draws has the same ones on each image"
        )
    return notes


def _constant_note(photos: Sequence[PhotoScores], methods: Sequence[str], column: str) -> str:
    """Return the sentence on how many detections have no correlation, as one of the two maps is constant."""
    values = {name: [each for photo in _measured(photos, name, column) for each in photo] for name in methods}
    missing = {name: sum(each is None for each in of_name) for name, of_name in values.items()}
    total = len(values[FLAT_BOX])
    return f"{column}: of {total} detections; those without a correlation, as a map is constant: {_listed(missing)}"


def _listed(counts: Mapping[str, int]) -> str:
    """Return the names with a count above 0, each with its count, or none."""
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "none"


def _failure_note(photos: Sequence[PhotoScores], name: str) -> str:
    reasons = [scores.failures[name] for scores in photos if name in scores.failures]
    return f"{name} has no row: it fails on {len(reasons)} of {len(photos)} images ({reasons[0]})"
