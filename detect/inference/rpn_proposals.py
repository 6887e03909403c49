"""The proposals of a file, or of a model's RPN, beside the objects that they should cover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detect.config import Config
from detect.data.annotations import Annotations
from detect.data.image_names import below_shared_folder
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import told_when_a_worker_ends
from detect.evaluation.proposal_recall import LIMITS, Coverage
from detect.inference.predictor import Predictor
from detect.models.proposers.proposer import Selection
from detect.ops.preprocess import rescale_boxes
from detect.proposals.files import ProposalFile, pack_proposals, write_proposals
from detect.proposals.match_images import places_of
from detect.proposals.search_dataset import image_key
from detect.system.progress import Display
from detect.types import Images, Proposals, Size, to_device

_ENTER_NMS = 12000  # a map; what Faster R-CNN trains with. Of 6000 fewer than 2000 survive for many images

Boxes = NDArray[np.floating]

_NOTHING: Boxes = np.zeros((0, 4))


@dataclass(frozen=True)
class FileProposals:
    """The proposals of a data set's images in a file: ``places[i]`` is where those of image i are, None for nowhere."""

    path: Path
    proposals: ProposalFile
    annotations: Annotations
    places: tuple[int | None, ...]
    unreadable: tuple[str, ...] = ()  # no image is decoded

    def __len__(self) -> int:
        return len(self.places)

    @property
    def missing(self) -> list[str]:
        """The images without an entry in the file."""
        return [self.annotations.file(index) for index, place in enumerate(self.places) if place is None]

    def __iter__(self) -> Iterator[Coverage]:
        for index, place in enumerate(self.places):
            found = _NOTHING if place is None else self.proposals[place].boxes.numpy()
            yield coverage(self.annotations, index, found)


def proposals_of_file(path: Path, proposals: ProposalFile, annotations: Annotations) -> FileProposals:
    """Raises UserError where an entry is stale, or no image of the data set is in the file read from ``path``."""
    images = [Path(annotations.file(index)) for index in range(len(annotations))]
    return FileProposals(path, proposals, annotations, tuple(places_of(path, proposals, images)))


class ModelProposals:
    """The RPN's proposals for each image of a data set, as many as ``selection`` lets go on; by default as many as the
    largest number that is scored.

    They come of one look at each image, whatever the test-time settings are. ``unreadable`` fills while one iterates: a
    line for each image that could not be read, which counts as one without proposals.
    """

    def __init__(
        self, predictor: Predictor, annotations: Annotations, config: Config, selection: Selection | None = None
    ) -> None:
        self.predictor = predictor
        self.selection = selection or _for_scoring(predictor.single.selection)
        self.annotations = annotations
        self.config = config
        self.path = predictor.file
        self.unreadable: list[str] = []

    def __len__(self) -> int:
        return len(self.annotations)

    def __iter__(self) -> Iterator[Coverage]:
        seen = np.zeros(len(self.annotations), bool)
        for index, proposals in self.readable():
            seen[index] = True
            yield coverage(self.annotations, index, proposals.boxes.numpy())
        for index in np.flatnonzero(~seen).tolist():
            yield coverage(self.annotations, index, _NOTHING)

    def readable(self) -> Iterator[tuple[int, Proposals]]:
        """Of each image that can be read its place and its proposals, float64 in pixels of the original image."""
        workers = self.config.data.workers
        loader = evaluation_loader(
            self.annotations, self.predictor.preprocess, self.config.train.batch_size, workers, self.predictor.given
        )
        with told_when_a_worker_ends("data.workers", loader):
            for batch in loader:
                self.unreadable += batch.unreadable
                if len(batch.images):
                    yield from zip(batch.indices, self._proposals(batch.images, batch.originals), strict=True)

    def _proposals(self, images: Images, originals: Sequence[Size]) -> list[Proposals]:
        detector = self.predictor.single
        moved = to_device(images, self.predictor.compute.device)
        with torch.inference_mode(), self.predictor.compute.autocast():
            proposed = detector.proposer(moved, detector.backbone(moved.pixels), self.selection).proposals
        return [
            Proposals(rescale_boxes(one.boxes.double().cpu(), size, original), one.scores.double().cpu())
            for one, size, original in zip(proposed, images.sizes, originals, strict=True)
        ]


def _for_scoring(own: Selection) -> Selection:
    return replace(own, before_nms=max(own.before_nms, _ENTER_NMS), after_nms=max(own.after_nms, LIMITS[-1]))


def coverage(annotations: Annotations, index: int, proposals: Boxes) -> Coverage:
    """Proposals of image ``index`` beside its objects that are neither difficult nor a crowd."""
    truth = annotations[index]
    counted = ~(truth.difficult | truth.crowd)
    return Coverage(proposals, truth.boxes[counted], truth.labels[counted])


def write_learned(proposed: Sequence[ModelProposals], out: Path, display: Display) -> ProposalFile:
    """Write what an RPN proposes for the images of several splits, each image once; images that cannot be read are left
    out. ``Display`` advances by images.
    """
    found: dict[str, Proposals] = {}
    for split in proposed:
        for index, proposals in split.readable():
            found.setdefault(split.annotations.file(index), proposals)
            display.advance(1)
    names = below_shared_folder(list(found))
    settings = {"algorithm": "rpn", "model": str(proposed[0].path)}
    made = pack_proposals(
        [(name, image_key(Path(file)), found[file]) for name, file in zip(names, found, strict=True)], settings
    )
    write_proposals(out, made)
    return made
