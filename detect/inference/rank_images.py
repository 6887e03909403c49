"""Orders photos without labels by how unsure a detector is of its detections in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detect.data.images import read_reduced_gray
from detect.data.near_duplicates import ImageHash, group_duplicates, image_hash
from detect.errors import UnreadableImage, UserError
from detect.evaluation.predictions import Prediction
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.listed_images import listed_images, without_objects
from detect.inference.predictor import Predictor
from detect.system.progress import ProgressDisplay


@dataclass(frozen=True)
class RankedImage:
    """A photo and how unsure the detector is of it.

    gain: the sum of the doubts about its detections, 0 without any; detections: their number; near_duplicate_of: a
    photo before it that shows nearly the same, "" where there is none.
    """

    file: str
    gain: float
    detections: int
    near_duplicate_of: str = ""


@dataclass(frozen=True)
class Ranking:
    """The photos, most instructive first; unreadable: a line for each that cannot be read, and is not among them."""

    images: tuple[RankedImage, ...]
    unreadable: tuple[str, ...]


def label_gain(scores: np.ndarray) -> float:
    """Return the sum of the doubts about detections with ``scores`` (D,): 4 s (1 - s), 1 at 0.5 and 0 at 0 and 1.

    Of the ways to turn doubts about detections into one about the image, Brust et al. (2019, "Active Learning for Deep
    Object Detection", section 5) found the sum best. It prefers photos of many objects, which take longer to label too.
    """
    return float((4 * scores * (1 - scores)).sum())


def rank_images(predictor: Predictor, files: Sequence[Path], progress: ProgressDisplay) -> Ranking:
    """Return the photos in the order of the doubts about their detections, most first.

    ``progress`` advances by two for each photo.
    Of photos that show nearly the same, the one with the most gain stays where it is, and the others go to the end.
    Raises UserError for a detector without a region proposal network.
    """
    if predictor.proposal_search is not None:
        raise UserError(f"{predictor.file}: expected a detector with a region proposal network, found one without")
    readable, hashes, unreadable = _read_hashes(files, progress)
    annotations = without_objects(listed_images(readable), predictor.classes)
    passed = predict_dataset(predictor, annotations, predictor.config, progress)
    ranked = order_images(passed.predictions, hashes)
    return Ranking(ranked, tuple(dict.fromkeys([*unreadable, *passed.unreadable])))


def order_images(predictions: Sequence[Prediction], hashes: Sequence[ImageHash]) -> tuple[RankedImage, ...]:
    """Return the images in the order of their gain, near-duplicates at the end; of equal gain the first comes first."""
    gains = [label_gain(prediction.scores) for prediction in predictions]
    first_of: dict[int, int] = {}
    for group in group_duplicates(hashes):
        best = max(group, key=lambda index: (gains[index], -index))
        first_of |= {index: best for index in group if index != best}
    order = sorted(range(len(predictions)), key=lambda index: (index in first_of, -gains[index], index))
    return tuple(
        RankedImage(
            file=predictions[index].file,
            gain=gains[index],
            detections=len(predictions[index]),
            near_duplicate_of=predictions[first_of[index]].file if index in first_of else "",
        )
        for index in order
    )


def _read_hashes(files: Sequence[Path], progress: ProgressDisplay) -> tuple[list[Path], list[ImageHash], list[str]]:
    """Return the files that can be decoded, their hashes, and a line for each other file."""
    readable, hashes, unreadable = [], [], []
    for file in files:
        try:
            hashes.append(image_hash(read_reduced_gray(file)))
            readable.append(file)
        except UnreadableImage as error:
            unreadable.append(str(error))
        progress.advance(1)
    return readable, hashes, unreadable
