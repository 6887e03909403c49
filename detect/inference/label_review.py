"""Reviews the labels of a data set with a detector: which of them it disagrees with, the most suspicious first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detect.config import Config
from detect.config.builders.data import load_split
from detect.data.annotations import Annotations
from detect.data.sources import remap_classes
from detect.errors import RunError, UserError
from detect.evaluation.analysis.label_suspects import LabelSuspect, rank_label_suspects
from detect.evaluation.predictions import Prediction
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.predictor import Predictor
from detect.system.numbers import format_count
from detect.system.overwriting import folder_entries
from detect.system.progress import ProgressDisplay


@dataclass(frozen=True)
class LabelReview:
    """The labels that a detector disagrees with.

    annotations: the data set with the classes of the detector, followed by the others of the data; suspects: the most
    suspicious first; not_judged: objects of each class that the detector does not know; num_trained_on: how many of the
    images the detector was trained on, None where its training images are not on this machine; unreadable: a line for
    each image that cannot be read; unread: the indices of these images, whose labels are not judged.
    """

    annotations: Annotations
    suspects: tuple[LabelSuspect, ...]
    not_judged: Mapping[str, int]
    num_trained_on: int | None
    unreadable: tuple[str, ...]
    unread: tuple[int, ...]

    def notes(self) -> list[str]:
        """Return the lines that say what the review does not show."""
        notes = []
        if self.not_judged:
            counts = ", ".join(f"{count} {name}" for name, count in self.not_judged.items())
            notes.append(f"not judged, as the model does not know their class: {counts}")
        if self.unread:
            labels = format_count(sum(len(self.annotations[index].boxes) for index in self.unread), "label")
            images = format_count(len(self.unread), "image")
            notes.append(f"not judged, as the model cannot read the photo: {labels} of {images}")
        if self.num_trained_on is None:
            notes.append("the images that the model was trained on are not on this machine: it may have learned these")
        elif self.num_trained_on:
            known = f"{self.num_trained_on} of {len(self.annotations)} images"
            notes.append(f"the model was trained on {known}, so it has learned their labels and disagrees less")
        return notes


def review_labels(
    predictor: Predictor, annotations: Annotations, progress: ProgressDisplay | None = None
) -> LabelReview:
    """Return the labels that the detector disagrees with, after a pass over all images.

    Raises UserError if the detector knows none of the classes of the data.
    """
    known = [name for name in annotations.classes if name in predictor.classes]
    if not known:
        raise UserError(
            f"--model {predictor.file}: expected a model of a class of the data ({', '.join(annotations.classes)}), "
            f"found one of {', '.join(predictor.classes)}"
        )
    others = [name for name in annotations.classes if name not in predictor.classes]
    joined = remap_classes(annotations, [*predictor.classes, *others])
    outcome = predict_dataset(predictor, joined, predictor.config, progress)
    judged = [label for label, name in enumerate(predictor.classes, start=1) if name in known]
    predictions = [_keep_labels(prediction, judged) for prediction in outcome.predictions]
    counts = Counter(joined.classes[label - 1] for label in joined.labels.tolist())
    return LabelReview(
        annotations=joined,
        suspects=tuple(rank_label_suspects(joined, predictions, judged, outcome.unread)),
        not_judged={name: counts[name] for name in others if counts[name]},
        num_trained_on=count_trained_on(predictor.config, joined),
        unreadable=outcome.unreadable,
        unread=outcome.unread,
    )


def _keep_labels(prediction: Prediction, labels: list[int]) -> Prediction:
    """Return the detections of some labels only: a class that the data do not have is missing in every image."""
    keep = np.isin(prediction.labels, labels)
    return prediction.select(keep)


def count_trained_on(config: Config, annotations: Annotations) -> int | None:
    """Return how many of the images are in the training split of these settings, None if that cannot be read here.

    Files are compared without the links among their folders.
    """
    if config.data.format == "shapes" and not Path(config.data.root).is_dir():
        return 0
    try:
        train = load_split(config, "train")
    except (UserError, RunError):
        return None
    trained_on, files = (
        folder_entries([Path(images.file(index)) for index in range(len(images))]) for images in (train, annotations)
    )
    known = set(trained_on)
    return sum(file in known for file in files)
