"""The score of each class from which a model's detections are right as often as possible, by its validation data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from detect.config.builders.data import default_metric, read_split_for_model
from detect.data.sources import remap_classes
from detect.errors import UserError
from detect.evaluation.analysis.image_counts import best_thresholds
from detect.evaluation.analysis.matches import METRIC_RULES, match
from detect.inference.dataset_pass import DatasetPredictions, describe_other_sizes
from detect.inference.predictor import Predictor
from detect.report.cache import cached_detections
from detect.system.numbers import format_count
from detect.system.progress import show_progress

WITHOUT_OBJECTS = 0.5  # for a class of which the validation data have no object that is found


@dataclass(frozen=True)
class ClassScores:
    """The lowest score of each class, in order (K,).

    lines: the split that they come from, what they are, then what is wrong with its photos.
    """

    scores: tuple[float, ...]
    lines: tuple[str, ...]


def best_class_scores(predictor: Predictor, out: Path, console: Console) -> ClassScores:
    """Return the score of each class at which F1 is highest on the model's own validation data, as the report has it.

    A class without one has 0.5. Detections on these data are cached in the run folder, or in ``out`` for a model that
    lies in none, so that they are computed once. Raises UserError where the data are not on this machine.
    """
    try:
        split, notes = read_split_for_model(predictor.config, "val", predictor.classes)
    except UserError as error:
        raise UserError(f"--score auto: expected the validation data of {predictor.file}: {error}") from error
    annotations = remap_classes(split, predictor.classes)
    run = predictor.file.parent
    folder = run if (run / "config.yaml").is_file() else out
    with show_progress(console, "detecting for --score auto", len(annotations), "images") as progress:
        passed = cached_detections(predictor, annotations, folder, progress)
    best = best_thresholds(match(annotations, passed.predictions, METRIC_RULES[default_metric(predictor.config)]))
    scores = tuple(best[name] if np.isfinite(best[name]) else WITHOUT_OBJECTS for name in predictor.classes)
    listed = ", ".join(f"{name} {score:.2f}" for name, score in zip(predictor.classes, scores, strict=True))
    unknown = [name for name in predictor.classes if not np.isfinite(best[name])]
    without = f"; no object of {', '.join(unknown)} is found there" if unknown else ""
    line = f"score: best F1 on {len(annotations)} images to validate: {listed}{without}"
    return ClassScores(scores, (*notes, line, *_describe_faults(passed)))


def _describe_faults(passed: DatasetPredictions) -> list[str]:
    """Return a line on the photos that could not be read, and one on those of another size than labelled."""
    lines = [describe_other_sizes(passed.other_sizes)] if passed.other_sizes else []
    if passed.unreadable:
        count = format_count(len(passed.unreadable), "image")
        lines.append(f"{count} to validate could not be read, the first {passed.unreadable[0]}")
    return lines
