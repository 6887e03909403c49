"""Provides the proposals of a file, or of a detector's RPN, together with the objects that they should cover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detect.config import Config
from detect.data.annotations import Annotations
from detect.data.image_names import relative_to_shared_folder
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import explain_worker_death
from detect.evaluation.proposal_recall import AR_LIMITS, ProposalsAndObjects
from detect.inference.predictor import Predictor
from detect.models.proposers.proposer import ProposalSelection
from detect.ops.preprocess import rescale_boxes
from detect.proposals.files import ProposalFile, pack_proposals, write_proposals
from detect.proposals.match_images import match_images
from detect.proposals.search_dataset import image_content_hash
from detect.system.progress import ProgressDisplay
from detect.types import Images, Proposals, Size

_PRE_NMS_TOP_N = 12000  # per feature map, as in Faster R-CNN's training; of 6000, NMS often leaves fewer than 2000

BoxArray = NDArray[np.floating]

_NO_BOXES: BoxArray = np.zeros((0, 4))


@dataclass(frozen=True)
class FileProposals:
    """The proposals of a data set's images in a file.

    indices: of each image the index of its proposals in the file, None if the file has none.
    """

    path: Path
    proposals: ProposalFile
    annotations: Annotations
    indices: tuple[int | None, ...]
    unreadable: tuple[str, ...] = ()  # no image is decoded

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def missing(self) -> list[str]:
        """Return the images without an entry in the file."""
        return [self.annotations.file(image) for image, index in enumerate(self.indices) if index is None]

    def __iter__(self) -> Iterator[ProposalsAndObjects]:
        for image, index in enumerate(self.indices):
            boxes = _NO_BOXES if index is None else self.proposals[index].boxes.numpy()
            yield with_objects(self.annotations, image, boxes)


def align_file_proposals(path: Path, proposals: ProposalFile, annotations: Annotations) -> FileProposals:
    """Match the proposals that were read from ``path`` with the images of a data set.

    Raises UserError if an entry belongs to another version of an image, or if the file has no image of the data set.
    """
    images = [Path(annotations.file(index)) for index in range(len(annotations))]
    return FileProposals(path, proposals, annotations, tuple(match_images(path, proposals, images)))


class RPNProposals:
    """The RPN's proposals for each image of a data set.

    selection: the numbers of proposals before and after NMS; None for the largest number that is scored. Each image is
    processed once, without test-time augmentation. Iterating adds to ``unreadable`` a line for each image that cannot
    be read, which counts as an image without proposals.
    """

    def __init__(
        self, predictor: Predictor, annotations: Annotations, config: Config, selection: ProposalSelection | None = None
    ) -> None:
        self.predictor = predictor
        self.selection = selection or _scoring_selection(predictor.base_detector.test_selection)
        self.annotations = annotations
        self.config = config
        self.path = predictor.file
        self.unreadable: list[str] = []

    def __len__(self) -> int:
        return len(self.annotations)

    def __iter__(self) -> Iterator[ProposalsAndObjects]:
        is_read = np.zeros(len(self.annotations), bool)
        for index, proposals in self.iter_readable():
            is_read[index] = True
            yield with_objects(self.annotations, index, proposals.boxes.numpy())
        for index in np.flatnonzero(~is_read).tolist():
            yield with_objects(self.annotations, index, _NO_BOXES)

    def iter_readable(self) -> Iterator[tuple[int, Proposals]]:
        """Yield (index, proposals) of each readable image; boxes (P, 4), float64, in pixels of the original image."""
        workers = self.config.data.workers
        loader = evaluation_loader(
            self.annotations,
            self.predictor.preprocess,
            self.config.train.batch_size,
            workers,
            self.predictor.proposal_search,
            pin_memory=self.predictor.compute.is_asynchronous,
        )
        with explain_worker_death("data.workers", loader):
            for batch in loader:
                self.unreadable += batch.unreadable
                if len(batch.images):
                    yield from zip(batch.indices, self._propose(batch.images, batch.original_sizes), strict=True)

    def _propose(self, images: Images, original_sizes: Sequence[Size]) -> list[Proposals]:
        detector = self.predictor.base_detector
        images = images.to(self.predictor.compute.device)
        with torch.inference_mode(), self.predictor.compute.autocast():
            batch_proposals = detector.proposer(images, detector.backbone(images.pixels), self.selection).proposals
        return [
            Proposals(
                rescale_boxes(proposals.boxes.double().cpu(), size, original_size), proposals.scores.double().cpu()
            )
            for proposals, size, original_size in zip(batch_proposals, images.sizes, original_sizes, strict=True)
        ]


def _scoring_selection(selection: ProposalSelection) -> ProposalSelection:
    return replace(
        selection,
        pre_nms_top_n=max(selection.pre_nms_top_n, _PRE_NMS_TOP_N),
        post_nms_top_n=max(selection.post_nms_top_n, AR_LIMITS[-1]),
    )


def with_objects(annotations: Annotations, index: int, proposals: BoxArray) -> ProposalsAndObjects:
    """Return proposals (P, 4) of image ``index`` with its objects that are neither difficult nor a crowd."""
    ground_truth = annotations[index]
    is_counted = ~(ground_truth.difficult | ground_truth.crowd)
    return ProposalsAndObjects(proposals, ground_truth.boxes[is_counted], ground_truth.labels[is_counted])


def write_rpn_proposals(splits: Sequence[RPNProposals], out: Path, progress: ProgressDisplay) -> ProposalFile:
    """Write the RPN's proposals for the images of several splits, and return them. ``progress`` advances by images.

    An image in several splits is written once. Images that cannot be read are skipped.
    """
    by_file: dict[str, Proposals] = {}
    for split in splits:
        for index, proposals in split.iter_readable():
            by_file.setdefault(split.annotations.file(index), proposals)
            progress.advance(1)
    names = relative_to_shared_folder(list(by_file))
    settings = {"algorithm": "rpn", "model": str(splits[0].path)}
    proposal_file = pack_proposals(
        [(name, image_content_hash(Path(file)), by_file[file]) for name, file in zip(names, by_file, strict=True)],
        settings,
    )
    write_proposals(out, proposal_file)
    return proposal_file
