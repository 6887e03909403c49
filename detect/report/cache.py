"""What a model said about its validation data, kept beside the run: the next report need not run it again.

The files lie in the run's folder ``report``, their names end in a key of all that made them: weights, settings, device
and images. They may be removed at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from detect.config import as_plain
from detect.config.builders.proposals import known_proposals
from detect.data.annotations import Annotations
from detect.data.images import UnreadableImage
from detect.data.sources import select
from detect.errors import UserError
from detect.evaluation.predictions import align
from detect.evaluation.proposal_recall import BestOverlaps, Coverage, measure
from detect.evaluation.proposal_report import COUNTS
from detect.inference.dataset_pass import Pass
from detect.inference.evaluate_dataset import detect_over
from detect.inference.predictor import Predictor
from detect.inference.result_readers import read_json
from detect.inference.result_writers import write_json
from detect.inference.rpn_proposals import ModelProposals, coverage
from detect.system.files import write_bytes
from detect.system.progress import Display

PROPOSAL_IMAGES = 500  # at most: recall is then known to 2 points, and 2,000 boxes an image take as long as detecting


def kept_detections(predictor: Predictor, annotations: Annotations, folder: Path, display: Display) -> Pass:
    """The detections of every image: those kept in the run's ``folder``, else made now and kept.

    Where an image could not be read nothing is kept. The file is as ``detect eval --save`` writes it.
    """
    file = _file(folder, "detections", ".json", predictor, annotations)
    if file.is_file():
        display.advance(len(annotations))
        return Pass(align(annotations, read_json(file, predictor.classes)), {}, ())
    passed = detect_over(predictor, annotations, predictor.config, display)
    if not passed.unreadable:
        write_json(file, passed.predictions, predictor.classes)
    return passed


def proposal_images(annotations: Annotations) -> Annotations:
    """Those on which proposals are measured: all, or 500 spread evenly."""
    count = min(len(annotations), PROPOSAL_IMAGES)
    return select(annotations, np.linspace(0, len(annotations) - 1, count).astype(int).tolist())


def kept_overlaps(predictor: Predictor, annotations: Annotations, folder: Path, display: Display) -> BestOverlaps:
    """How well the proposals cover each object, at ``COUNTS``: kept in the run's ``folder``, else measured now.

    An RPN's are as many as are scored, the others those that the model is given.
    """
    file = _file(folder, "proposals", ".npz", predictor, annotations)
    if file.is_file():
        display.advance(len(annotations))
        return _read_overlaps(file)
    proposed = _Proposed(predictor, annotations, display)
    best = measure(proposed, COUNTS)
    if not proposed.unreadable:
        content = io.BytesIO()
        np.savez_compressed(
            content, limits=best.limits, limited=best.limited, every=best.every, labels=best.labels, counts=best.counts
        )
        write_bytes(file, content.getvalue())
    return best


class _Proposed:
    """The proposals of each image beside its objects, whoever makes them; those of an unreadable image are none."""

    def __init__(self, predictor: Predictor, annotations: Annotations, display: Display) -> None:
        self.predictor, self.annotations, self.display = predictor, annotations, display
        self.unreadable = False

    def __iter__(self) -> Iterator[Coverage]:
        for one in self._learned() if self.predictor.given is None else self._given():
            yield one
            self.display.advance(1)

    def _learned(self) -> Iterator[Coverage]:
        proposals = ModelProposals(self.predictor, self.annotations, self.predictor.config)
        yield from proposals
        self.unreadable = bool(proposals.unreadable)

    def _given(self) -> Iterator[Coverage]:
        images = [self.annotations.file(index) for index in range(len(self.annotations))]
        lookup = known_proposals(self.predictor.config.model, images, self.predictor.file.parent)
        assert lookup is not None
        for index, image in enumerate(images):
            try:
                boxes = lookup[image][0]
            except UnreadableImage:
                boxes, self.unreadable = np.zeros((0, 4)), True
            yield coverage(self.annotations, index, boxes)


def _read_overlaps(file: Path) -> BestOverlaps:
    try:
        with np.load(file, allow_pickle=False) as kept:
            return BestOverlaps(
                tuple(kept["limits"].tolist()), kept["limited"], kept["every"], kept["labels"], kept["counts"]
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: expected what an earlier report kept, found {error}; remove it") from None


def _file(
    folder: Path, what: Literal["detections", "proposals"], suffix: str, predictor: Predictor, annotations: Annotations
) -> Path:
    """Detections do not depend on the objects that are there; overlaps with them do."""
    files = [Path(annotations.file(index)) for index in range(len(annotations))]
    truth = (annotations.boxes, annotations.labels, annotations.difficult, annotations.crowd)
    made_of = {
        "weights": hashlib.sha256(predictor.file.read_bytes()).hexdigest(),
        "model": as_plain(predictor.config.model),
        "given": _stamp(Path(predictor.config.model.proposals)),
        "preprocess": repr(predictor.preprocess),
        "compute": repr(predictor.compute),
        "images": [[str(file), _stamp(file)] for file in files],
        "objects": [column.tolist() for column in truth] if what == "proposals" else None,
    }
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    return folder / "report" / f"{what}-{key}{suffix}"


def _stamp(file: Path) -> tuple[int, int] | None:
    """Size and time of change; None for no file."""
    return (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else None
