"""Region batch sampler: which regions of which images make up which training step (R-CNN, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from detect.data.annotations import Annotations
from detect.data.loading.collate import ProposalLookup
from detect.ops.matching import BACKGROUND, IGNORED, Matcher
from detect.system.randomness import hash_key, numpy_generator


class RegionKey(NamedTuple):
    """The key of an image in a step.

    rows: which of its regions are trained on, as indices into its objects' boxes and proposals, joined.
    """

    epoch: int
    image: int
    min_size: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class RegionIndex:
    """All regions of a data set that may be trained on. Both (M, 2) and (B, 2) int32: image index and row of each."""

    foreground: NDArray[np.int32]
    background: NDArray[np.int32]


@dataclass(frozen=True)
class RegionBatchSampler:
    """Yields the batch of each of the steps ``start`` to ``steps - 1``: a DataLoader's ``batch_sampler``.

    A step samples ``batch_size`` regions without replacement from all images, at most the fraction
    ``positive_fraction`` of them foreground. They come from nearly as many images, which makes a step slower than
    hierarchical sampling (regions of a few images). The batch of a step depends on the seed and the step only, so the
    step takes the place of the epoch in the seeds of its images.
    """

    regions: RegionIndex
    batch_size: int
    positive_fraction: float
    seed: int
    min_sizes: tuple[int, ...]
    steps: int
    start: int = 0

    def __len__(self) -> int:
        return max(0, self.steps - self.start)

    def __iter__(self) -> Iterator[list[RegionKey]]:
        for step in range(self.start, self.steps):
            yield self.batch(step)

    def batch(self, step: int) -> list[RegionKey]:
        """Return the batch of any step, sorted by image."""
        rng = numpy_generator(self.seed, "region plan", step)
        positives = _sample(rng, self.regions.foreground, int(self.batch_size * self.positive_fraction))
        sampled = np.concatenate([positives, _sample(rng, self.regions.background, self.batch_size - len(positives))])
        sampled = sampled[np.lexsort((sampled[:, 1], sampled[:, 0]))]
        images, starts = np.unique(sampled[:, 0], return_index=True)
        min_size = self.min_sizes[hash_key(self.seed, "min_size", step) % len(self.min_sizes)]
        rows: Sequence[NDArray[np.int32]] = np.split(sampled[:, 1], starts[1:]) if len(sampled) else []
        return [
            RegionKey(step, int(image), min_size, tuple(image_rows.tolist()))
            for image, image_rows in zip(images, rows, strict=True)
        ]


def index_regions(
    annotations: Annotations, proposals: ProposalLookup, matcher: Matcher, num_proposals: int
) -> RegionIndex:
    """Label each image's objects and its first ``num_proposals`` proposals as foreground or background.

    Images without an entry in ``proposals`` (those that cannot be read) are skipped.
    """
    regions: dict[bool, list[NDArray[np.int32]]] = {True: [], False: []}
    for image in range(len(annotations)):
        annotation = annotations[image]
        try:
            proposal_boxes = proposals[annotation.file][0][:num_proposals]
        except KeyError:
            continue
        boxes, targets = np.concatenate([annotation.boxes, proposal_boxes]).astype(np.float32), annotation.targets()
        matched = matcher.match(torch.from_numpy(boxes), targets).numpy()
        matched[: len(targets)][annotation.crowd] = IGNORED
        for foreground, selected in ((True, matched >= 0), (False, matched == BACKGROUND)):
            rows = np.flatnonzero(selected)
            regions[foreground].append(np.stack([np.full_like(rows, image), rows], 1).astype(np.int32))
    empty = np.zeros((0, 2), np.int32)
    return RegionIndex(np.concatenate([empty, *regions[True]]), np.concatenate([empty, *regions[False]]))


def _sample(rng: np.random.Generator, regions: NDArray[np.int32], max_regions: int) -> NDArray[np.int32]:
    """Return at most ``max_regions`` of the regions (M, 2), without replacement."""
    chosen = rng.choice(len(regions), min(max_regions, len(regions)), replace=False)
    return np.asarray(regions[chosen])
