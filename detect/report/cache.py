"""The cache of a model's detections and proposal scores on its validation data, so that the next report is fast.

The files are in the folder ``report`` of the run. Their names end in a hash of everything they depend on: weights,
settings, device, images, and the versions of this package and of torch. They may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from detect.config import to_dict
from detect.config.builders.proposals import proposals_for_evaluation
from detect.data.annotations import Annotations
from detect.data.loading.loader import describe_other_size
from detect.data.sources import select
from detect.errors import UnreadableImage, UserError
from detect.evaluation.predictions import Prediction, align
from detect.evaluation.proposal_recall import BestIoUs, ProposalsAndObjects, best_ious
from detect.evaluation.proposal_report import PROPOSAL_COUNTS
from detect.inference.dataset_pass import DatasetPredictions
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.predictor import Predictor
from detect.inference.result_readers import read_json
from detect.inference.result_writers import write_json
from detect.inference.rpn_proposals import RPNProposals, with_objects
from detect.system.files import write_bytes
from detect.system.progress import ProgressDisplay
from detect.version import __version__

_VERSION = 2  # increase it with every change after which the same weights and settings detect otherwise
PROPOSAL_IMAGES = 500  # at most: recall is then exact to 2 points, and 2,000 boxes an image take as long as detecting


def cached_detections(
    predictor: Predictor, annotations: Annotations, folder: Path, display: ProgressDisplay
) -> DatasetPredictions:
    """Return the detections of every image, from the cache in the run's ``folder`` or else by running the model.

    The cache is not written if an image could not be read. The file is as ``detect eval --save`` writes it.
    """
    file = _file(folder, "detections", ".json", predictor, annotations)
    if file.is_file():
        display.advance(len(annotations))
        predictions = align(annotations, read_json(file, predictor.classes))
        return DatasetPredictions(predictions, {}, (), _other_sizes(annotations, predictions))
    passed = predict_dataset(predictor, annotations, predictor.config, display)
    if not passed.unreadable:
        write_json(file, passed.predictions, predictor.classes)
    return replace(passed, other_sizes=_other_sizes(annotations, passed.predictions))


def _other_sizes(annotations: Annotations, predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """Return a line for each photo of another size than labelled, in order; predictions have the sizes of the photos.

    The labels may have changed since the file of the cache was written, so it does not have these lines.
    """
    sizes = [(prediction.height, prediction.width) for prediction in predictions]
    lines = [describe_other_size(annotations[index], size) for index, size in enumerate(sizes)]
    return tuple(line for line in lines if line)


def proposal_images(annotations: Annotations) -> Annotations:
    """Return the images on which proposals are scored: all, or 500 at even distances."""
    count = min(len(annotations), PROPOSAL_IMAGES)
    return select(annotations, np.linspace(0, len(annotations) - 1, count).astype(int).tolist())


def cached_proposal_ious(
    predictor: Predictor, annotations: Annotations, folder: Path, display: ProgressDisplay
) -> BestIoUs:
    """Return the best IoU of each object with the first ``PROPOSAL_COUNTS`` proposals, from the cache or computed now.

    An RPN yields as many proposals as are scored; other models are scored on the precomputed proposals that they use.
    """
    file = _file(folder, "proposals", ".npz", predictor, annotations)
    if file.is_file():
        display.advance(len(annotations))
        return _read_best_ious(file)
    proposals = _ImageProposals(predictor, annotations, display)
    best = best_ious(proposals, PROPOSAL_COUNTS)
    if not proposals.unreadable:
        content = io.BytesIO()
        np.savez_compressed(
            content,
            limits=best.limits,
            limited=best.first_n,
            every=best.all_proposals,
            labels=best.labels,
            counts=best.counts,
        )
        write_bytes(file, content.getvalue())
    return best


class _ImageProposals:
    """The proposals and objects of each image, for any source of proposals; an unreadable image has no proposals."""

    def __init__(self, predictor: Predictor, annotations: Annotations, display: ProgressDisplay) -> None:
        self.predictor, self.annotations, self.display = predictor, annotations, display
        self.unreadable = False

    def __iter__(self) -> Iterator[ProposalsAndObjects]:
        for image in self._from_rpn() if self.predictor.proposal_search is None else self._precomputed():
            yield image
            self.display.advance(1)

    def _from_rpn(self) -> Iterator[ProposalsAndObjects]:
        proposals = RPNProposals(self.predictor, self.annotations, self.predictor.config)
        yield from proposals
        self.unreadable = bool(proposals.unreadable)

    def _precomputed(self) -> Iterator[ProposalsAndObjects]:
        images = [self.annotations.file(index) for index in range(len(self.annotations))]
        lookup = proposals_for_evaluation(self.predictor.config.model, images, self.predictor.file.parent)
        assert lookup is not None
        for index, image in enumerate(images):
            try:
                boxes = lookup[image][0]
            except UnreadableImage:
                boxes, self.unreadable = np.zeros((0, 4)), True
            yield with_objects(self.annotations, index, boxes)


def _read_best_ious(file: Path) -> BestIoUs:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return BestIoUs(
                tuple(arrays["limits"].tolist()), arrays["limited"], arrays["every"], arrays["labels"], arrays["counts"]
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: expected the cache of an earlier report, found {error}; remove it") from None


def _file(
    folder: Path,
    content: Literal["detections", "proposals"],
    suffix: str,
    predictor: Predictor,
    annotations: Annotations,
) -> Path:
    """Return the path of a cache file; only that of proposals depends on the objects of the images."""
    files = [Path(annotations.file(index)) for index in range(len(annotations))]
    ground_truth = (annotations.boxes, annotations.labels, annotations.difficult, annotations.crowd)
    inputs = {
        "versions": [_VERSION, __version__, torch.__version__],
        "weights": hashlib.sha256(predictor.file.read_bytes()).hexdigest(),
        "model": to_dict(predictor.config.model),
        "given": [_size_and_mtime(file) for file in predictor.config.model.proposal_files],
        "preprocess": repr(predictor.preprocess),
        "compute": repr(predictor.compute),
        "images": [[str(file), _size_and_mtime(file)] for file in files],
        "objects": [column.tolist() for column in ground_truth] if content == "proposals" else None,
    }
    key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
    return folder / "report" / f"{content}-{key}{suffix}"


def _size_and_mtime(file: Path) -> tuple[int, int] | None:
    """Return the size and the modification time of a file, None where there is none."""
    return (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else None
