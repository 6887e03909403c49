"""The features that SVMs and box regressors are fitted on: of the regions of every training image, on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detect.config.builders.detector import preprocess_rule
from detect.data.loading.collate import Batch
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import told_when_a_worker_ends
from detect.models.detector import Detector
from detect.models.heads.rcnn import FittedHead
from detect.models.heads.softmax import SoftmaxHead
from detect.models.heads.tails import vectors_of
from detect.proposals.files import content_key
from detect.system.files import told_size
from detect.system.progress import display
from detect.training.context import Work
from detect.training.recipes.artifacts import FittedFiles, Trained, fits_boxes, fits_svms, trained_network
from detect.training.svm.examples import box_examples
from detect.training.svm.feature_cache import FeatureCache, bytes_needed, require_room
from detect.training.svm.regions import ImageRegions, make_table, write_table
from detect.types import targets_to, to_device

_GB = 1e9


def reserve_features(work: Work, detector: Detector, files: FittedFiles) -> None:
    """Say how large the caches of a detector's features will be at most, before anything is trained.

    Raises UserError where they would pass train.cache_limit, WorkError where the disk is too small.
    """
    needed = _most_bytes(work, detector)
    require_room(files.vectors, needed, int(work.config.train.cache_limit * _GB))
    work.say(f"features: at most {told_size(needed)} in {files.vectors} and {files.inputs.name} beside it")


def compute_features(work: Work, network: Work, files: FittedFiles) -> list[str]:
    """Fill the caches image by image; those that an earlier run has done are not computed again.

    Images that stand more than once in the training data (data.rare) have their features once. A line for each image
    that could not be read.
    """
    trained = trained_network(network)
    batches = evaluation_loader(work.train, preprocess_rule(work.config), 1, work.config.data.workers, work.given)
    regions: dict[str, ImageRegions] = {}
    unreadable: list[str] = []
    with (
        _opened(work, trained, files) as look,
        told_when_a_worker_ends("data.workers", batches),
        display(work.console, "features", len(work.train), "images") as shown,
    ):
        for batch in batches:
            unreadable += batch.unreadable
            if len(batch.images) and batch.files[0] not in regions:
                regions[batch.files[0]] = look(batch)
            shown.advance(1)
    write_table(files.table, make_table(list(regions.values())))
    work.say(f"features of {sum(len(one.boxes) for one in regions.values())} regions of {len(regions)} images")
    return unreadable


@dataclass(frozen=True)
class _Look:
    """One image at a time. vectors, inputs and norms: the caches to fill, None where no fit reads them."""

    work: Work
    trained: Trained
    vectors: FeatureCache | None
    inputs: FeatureCache | None
    norms: FeatureCache | None

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> ImageRegions:
        device, detector = self.work.compute.device, self.trained.detector
        images, (targets,) = to_device(batch.images, device), targets_to(batch.targets, device)
        with self.work.compute.autocast():
            maps = detector.backbone(images.pixels)
            (proposals,) = detector.proposer(images, maps, detector.rule.selection).proposals
            boxes = torch.cat([targets.boxes, proposals.boxes])  # (P, 4)
            own = boxes.cpu()
            key = content_key(Path(batch.files[0]).read_bytes() + own.numpy().tobytes())
            found = ImageRegions(batch.indices[0], key, own, batch.targets[0])
            if all(cache is None or key in cache for cache in (self.vectors, self.inputs, self.norms)):
                return found
            regional = detector.regions(images, maps, [boxes])
            vectors = vectors_of(self.trained.head.tail, regional)
        if self.vectors is not None and key not in self.vectors:
            self.vectors.add(key, vectors)
        if self.inputs is not None and self.norms is not None:
            head = self.trained.head
            assert isinstance(head, FittedHead)
            inputs = head.regressor_input(regional, vectors)
            rows = box_examples(found.boxes, found.targets, self.work.config.train.regressor.overlap).rows
            if key not in self.inputs:
                self.inputs.add(key, inputs[torch.from_numpy(rows).to(device)])
            if key not in self.norms:
                self.norms.add(key, inputs.float().norm(dim=1, keepdim=True))
        return found


@contextmanager
def _opened(work: Work, trained: Trained, files: FittedFiles) -> Iterator[_Look]:
    """With the caches that the fits of this run read."""
    vectors = trained.vectors(files) if fits_svms(work) else None
    inputs, norms = (trained.inputs(files), trained.norms(files)) if fits_boxes(work) else (None, None)
    try:
        yield _Look(work, trained, vectors, inputs, norms)
    finally:
        for cache in (vectors, inputs, norms):
            if cache is not None:
                cache.close()


def _most_bytes(work: Work, detector: Detector) -> int:
    """What the caches may take; exact where proposals are given, but for boxes that lie outside their image."""
    most, overlap = detector.rule.selection.after_nms, work.config.train.regressor.overlap
    regions = taught = 0
    for index in range(len(work.train)):
        annotation = work.train[index]
        boxes = annotation.boxes
        regions += len(boxes) + most
        if work.given is not None:
            try:
                proposed = work.given[annotation.file][0][:most]
            except KeyError:  # an image that cannot be read
                continue
            regions -= most - len(proposed)
            together = torch.from_numpy(np.concatenate([boxes, proposed]).astype(np.float32))
            taught += len(box_examples(together, annotation.targets(), overlap).rows)
    head, images = detector.head, len(work.train)
    assert isinstance(head, FittedHead | SoftmaxHead)
    vectors = bytes_needed(images, regions, head.logits.in_features) if fits_svms(work) else 0
    if not fits_boxes(work):
        return vectors
    return vectors + bytes_needed(images, taught, head.deltas.in_features) + bytes_needed(images, regions, 1)
