"""Extract the features that SVMs and box regressors are fitted on: of all regions of the training images, on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detect.config.builders.detector import build_preprocess
from detect.data.loading.collate import Batch
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import explain_worker_death
from detect.models.detector import Detector
from detect.ops.slices import Window
from detect.proposals.files import content_hash
from detect.system.files import format_bytes
from detect.system.progress import show_progress
from detect.training.context import RunContext
from detect.training.recipes.artifacts import (
    StageArtifacts,
    TrainedNetwork,
    fits_regressors,
    fits_svms,
    load_trained_network,
)
from detect.training.svm.examples import regression_examples
from detect.training.svm.feature_cache import FeatureCache, bytes_needed, require_disk_space
from detect.training.svm.regions import ImageRegions, make_table, write_table

_GB = 1e9


def check_feature_space(context: RunContext, detector: Detector, artifacts: StageArtifacts) -> None:
    """Log how large the feature caches of a detector will be at most, before anything is trained.

    Raises UserError if they would exceed train.feature_cache_gb, RunError if the disk is too small.
    """
    num_bytes = _max_bytes(context, detector)
    require_disk_space(artifacts.vectors, num_bytes, int(context.config.train.feature_cache_gb * _GB))
    context.log(
        f"features: at most {format_bytes(num_bytes)} in {artifacts.vectors} and, in the same folder, "
        f"{artifacts.inputs.name}"
    )


def compute_features(context: RunContext, network_context: RunContext, artifacts: StageArtifacts) -> list[str]:
    """Fill the feature caches image by image; return a line for each image that could not be read.

    Features of an earlier, interrupted run are not computed again. Images that are repeated in the training data
    (data.repeat_factor_threshold) have their features once, and so has each slice of an image.
    """
    trained = load_trained_network(context, network_context)
    batches = evaluation_loader(
        context.train,
        build_preprocess(context.config),
        1,
        context.config.data.workers,
        context.proposals,
        pin_memory=context.compute.is_asynchronous,
    )
    regions: dict[tuple[str, Window | None], ImageRegions] = {}
    unreadable: list[str] = []
    with (
        _open_extractor(context, trained, artifacts) as extractor,
        explain_worker_death("data.workers", batches),
        show_progress(context.console, "features", len(context.train), "images") as progress,
    ):
        for batch in batches:
            unreadable += batch.unreadable
            for file, index in zip(batch.files, batch.indices, strict=True):  # one, or none that could be read
                window = context.train[index].window
                if (file, window) not in regions:
                    regions[file, window] = extractor(batch, window)
            progress.advance(1)
    write_table(artifacts.table, make_table(list(regions.values())))
    context.log(f"features of {sum(len(image.boxes) for image in regions.values())} regions of {len(regions)} images")
    return unreadable


@dataclass(frozen=True)
class _FeatureExtractor:
    """Extracts the features of a batch of one image; vectors, inputs and norms: caches to fill, None if not needed."""

    context: RunContext
    trained: TrainedNetwork
    vectors: FeatureCache | None
    inputs: FeatureCache | None
    norms: FeatureCache | None

    @torch.inference_mode()
    def __call__(self, batch: Batch, window: Window | None) -> ImageRegions:
        """Return the regions of the image of a batch, after caching their features; window: that of a slice."""
        device, detector = self.context.compute.device, self.trained.detector
        images, (targets,) = batch.images.to(device), tuple(target.to(device) for target in batch.targets)
        with self.context.compute.autocast():
            maps = detector.backbone(images.pixels)
            (proposals,) = detector.proposer(images, maps, detector.head_training.selection).proposals
            boxes = torch.cat([targets.boxes, proposals.boxes])  # (P, 4)
            boxes_cpu = boxes.cpu()
            pixels = Path(batch.files[0]).read_bytes() + (b"" if window is None else repr(window).encode())
            key = content_hash(pixels + boxes_cpu.numpy().tobytes())
            image_regions = ImageRegions(image=batch.indices[0], key=key, boxes=boxes_cpu, targets=batch.targets[0])
            if all(cache is None or key in cache for cache in (self.vectors, self.inputs, self.norms)):
                return image_regions
            regional = detector.regions(images, maps, [boxes])
            vectors = self.trained.head.classifier_input(regional)
        if self.vectors is not None and key not in self.vectors:
            self.vectors.add(key, vectors)
        if self.inputs is not None and self.norms is not None:
            head = self.trained.head
            inputs = head.regressor_input(regional, vectors)
            rows = regression_examples(
                image_regions.boxes, image_regions.targets, self.context.config.train.regressor.min_iou
            ).rows
            if key not in self.inputs:
                self.inputs.add(key, inputs[torch.from_numpy(rows).to(device)])
            if key not in self.norms:
                self.norms.add(key, inputs.float().norm(dim=1, keepdim=True))
        return image_regions


@contextmanager
def _open_extractor(
    context: RunContext, trained: TrainedNetwork, artifacts: StageArtifacts
) -> Iterator[_FeatureExtractor]:
    """Open an extractor with the caches that the fits of this run read."""
    vectors = trained.vectors(artifacts) if fits_svms(context) else None
    inputs, norms = (trained.inputs(artifacts), trained.norms(artifacts)) if fits_regressors(context) else (None, None)
    try:
        yield _FeatureExtractor(context=context, trained=trained, vectors=vectors, inputs=inputs, norms=norms)
    finally:
        for cache in (vectors, inputs, norms):
            if cache is not None:
                cache.close()


def _max_bytes(context: RunContext, detector: Detector) -> int:
    """Return the largest size of the caches in bytes.

    With precomputed proposals it is exact, except for boxes that lie outside their image.
    """
    max_proposals, overlap = detector.head_training.selection.post_nms_top_n, context.config.train.regressor.min_iou
    num_regions = num_examples = 0
    for index in range(len(context.train)):
        annotation = context.train[index]
        boxes = annotation.boxes
        num_regions += len(boxes) + max_proposals
        if context.proposals is not None:
            try:
                proposed = context.proposals[annotation.file][0][:max_proposals]
            except KeyError:  # an image that cannot be read
                continue
            num_regions -= max_proposals - len(proposed)
            all_boxes = torch.from_numpy(np.concatenate([boxes, proposed]).astype(np.float32))
            num_examples += len(regression_examples(all_boxes, annotation.targets(), overlap).rows)
    (head,), num_images = detector.head.stages, len(context.train)
    vectors = bytes_needed(num_images, num_regions, head.logits.in_features) if fits_svms(context) else 0
    if not fits_regressors(context):
        return vectors
    return (
        vectors
        + bytes_needed(num_images, num_examples, head.deltas.in_features)
        + bytes_needed(num_images, num_regions, 1)
    )
