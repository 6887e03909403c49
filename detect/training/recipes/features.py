"""The features that SVMs and box regressors are fitted on: of the regions of every training photo, on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from detect.build.model import preprocess_rule
from detect.data.batch import Batch
from detect.data.loader import evaluation_loader
from detect.data.workers import told_when_a_worker_ends
from detect.display import display
from detect.evaluation.detecting import targets_to, to_device
from detect.files import told_size
from detect.heads.fitted import FittedHead
from detect.svm.cache import FeatureCache, bytes_needed, require_room
from detect.svm.examples import box_examples
from detect.svm.regions import PhotoRegions, make_table, write_table
from detect.training.recipes.fitted_files import FittedFiles, Trained, fits_boxes, fits_svms, trained_network
from detect.training.work import Work
from detect.types import Targets

_GB = 1e9


def compute_features(work: Work, network: Work, files: FittedFiles) -> None:
    """Fill the caches photo by photo; those that an earlier run has done are not computed again.

    Raises UserError where the features would pass train.cache_limit, WorkError where the disk is too small.
    """
    trained = trained_network(network)
    needed = _most_bytes(work, trained)
    require_room(files.vectors, needed, int(work.config.train.cache_limit * _GB))
    work.say(f"features: at most {told_size(needed)} in {files.vectors} and {files.inputs.name} beside it")
    batches = evaluation_loader(work.train, preprocess_rule(work.config), 1, work.config.data.workers, work.given)
    regions: list[PhotoRegions] = []
    with (
        _opened(work, trained, files) as look,
        told_when_a_worker_ends("data.workers"),
        display(work.console, "features", len(work.train), "photos") as shown,
    ):
        for batch in batches:
            for line in batch.unreadable:
                work.say(f"photo left out: {line}")
            if len(batch.images):
                regions.append(look(batch))
            shown.advance(1)
    write_table(files.table, make_table(regions))
    work.say(f"features of {sum(len(one.boxes) for one in regions)} regions of {len(regions)} photos")


@dataclass(frozen=True)
class _Look:
    """One photo at a time. vectors, inputs: the caches to fill, None where no fit reads them."""

    work: Work
    trained: Trained
    vectors: FeatureCache | None
    inputs: FeatureCache | None

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> PhotoRegions:
        device, detector, (photo,) = self.work.compute.device, self.trained.detector, batch.indices
        images, (targets,) = to_device(batch.images, device), targets_to(batch.targets, device)
        with self.work.compute.autocast():
            maps = detector.backbone(images.pixels)
            (proposals,) = detector.proposer(images, maps, detector.rule.selection).proposals
            boxes = torch.cat([targets.boxes, proposals.boxes])  # (P, 4)
            found = PhotoRegions(photo, boxes.cpu(), batch.targets[0])
            if all(cache is None or photo in cache for cache in (self.vectors, self.inputs)):
                return found
            regional = detector.regions(images, maps, [boxes])
            vectors = self.trained.head.tail(regional)
        if self.vectors is not None and photo not in self.vectors:
            self.vectors.add(photo, vectors)
        if self.inputs is not None and photo not in self.inputs:
            head = self.trained.head
            assert isinstance(head, FittedHead)
            rows = box_examples(found.boxes, found.targets, self.work.config.train.regressor.overlap).rows
            self.inputs.add(photo, head.regressor_input(regional, vectors)[torch.from_numpy(rows).to(device)])
        return found


@contextmanager
def _opened(work: Work, trained: Trained, files: FittedFiles) -> Iterator[_Look]:
    """With the caches that the fits of this run read."""
    vectors = trained.vectors(files) if fits_svms(work) else None
    inputs = trained.inputs(files) if fits_boxes(work) else None
    try:
        yield _Look(work, trained, vectors, inputs)
    finally:
        for cache in (vectors, inputs):
            if cache is not None:
                cache.close()


def _most_bytes(work: Work, trained: Trained) -> int:
    """What the caches may take; exact where proposals are given, but for boxes that lie outside their photo."""
    most, overlap = trained.detector.rule.selection.after_nms, work.config.train.regressor.overlap
    regions = taught = 0
    for index in range(len(work.train)):
        annotation = work.train[index]
        boxes = annotation.boxes
        regions += len(boxes) + most
        if work.given is not None:
            try:
                proposed = work.given[annotation.file][0][:most]
            except KeyError:  # a photo that cannot be read
                continue
            regions -= most - len(proposed)
            together = torch.from_numpy(np.concatenate([boxes, proposed]).astype(np.float32))
            flags = (torch.from_numpy(annotation.difficult), torch.from_numpy(annotation.crowd))
            targets = Targets(together[: len(boxes)], torch.from_numpy(annotation.labels), *flags)
            taught += len(box_examples(together, targets, overlap).rows)
    head, photos = trained.head, len(work.train)
    vectors = bytes_needed(photos, regions, head.logits.in_features) if fits_svms(work) else 0
    return vectors + (bytes_needed(photos, taught, head.deltas.in_features) if fits_boxes(work) else 0)
