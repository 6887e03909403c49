"""Which regions of which images make up which training step, drawn over all images (R-CNN, section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from detect.data.annotations import Annotations
from detect.data.loading.collate import GivenLookup
from detect.ops.matching import BACKGROUND, IGNORED, Matcher
from detect.system.randomness import generator, key


class RegionPick(NamedTuple):
    """An image of a step; rows: which of its regions, places among its objects' boxes and then its proposals."""

    epoch: int
    image: int
    min_size: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class RegionPool:
    """All regions of a data set that may train; (M, 2) and (B, 2) int32: image and row of each."""

    foreground: NDArray[np.int32]
    background: NDArray[np.int32]


@dataclass(frozen=True)
class RegionPlan:
    """Steps ``start`` to ``steps - 1``; iterating gives the batch of each, a DataLoader's ``batch_sampler``.

    A step's regions are ``number`` of the pool, at most ``share`` of them foreground, each at most once. They are of
    nearly as many images, which is what the draw over all images costs beside a hierarchical one. What a step draws
    depends on the seed and the step alone, so that the number of the step stands for the epoch in its images' keys.
    """

    pool: RegionPool
    number: int
    share: float
    seed: int
    min_sizes: tuple[int, ...]
    steps: int
    start: int = 0

    def __len__(self) -> int:
        return max(0, self.steps - self.start)

    def __iter__(self) -> Iterator[list[RegionPick]]:
        for step in range(self.start, self.steps):
            yield self.batch(step)

    def batch(self, step: int) -> list[RegionPick]:
        """The batch of any step, image by image."""
        draw = generator(self.seed, "region plan", step)
        positives = _drawn(draw, self.pool.foreground, int(self.number * self.share))
        drawn = np.concatenate([positives, _drawn(draw, self.pool.background, self.number - len(positives))])
        drawn = drawn[np.lexsort((drawn[:, 1], drawn[:, 0]))]
        images, starts = np.unique(drawn[:, 0], return_index=True)
        min_size = self.min_sizes[key(self.seed, "min_size", step) % len(self.min_sizes)]
        rows: Sequence[NDArray[np.int32]] = np.split(drawn[:, 1], starts[1:]) if len(drawn) else []
        return [
            RegionPick(step, int(image), min_size, tuple(own.tolist())) for image, own in zip(images, rows, strict=True)
        ]


def region_pool(annotations: Annotations, given: GivenLookup, matcher: Matcher, number: int) -> RegionPool:
    """The roles of each image's own objects and of its first ``number`` given proposals.

    Images that ``given`` does not know (those that cannot be read) are left out.
    """
    roles: dict[bool, list[NDArray[np.int32]]] = {True: [], False: []}
    for image in range(len(annotations)):
        annotation = annotations[image]
        try:
            proposed = given[annotation.file][0][:number]
        except KeyError:
            continue
        boxes, targets = np.concatenate([annotation.boxes, proposed]).astype(np.float32), annotation.targets()
        matched = matcher.match(torch.from_numpy(boxes), targets).numpy()
        matched[: len(targets)][annotation.crowd] = IGNORED
        for foreground, chosen in ((True, matched >= 0), (False, matched == BACKGROUND)):
            rows = np.flatnonzero(chosen)
            roles[foreground].append(np.stack([np.full_like(rows, image), rows], 1).astype(np.int32))
    none = np.zeros((0, 2), np.int32)
    return RegionPool(np.concatenate([none, *roles[True]]), np.concatenate([none, *roles[False]]))


def _drawn(draw: np.random.Generator, regions: NDArray[np.int32], number: int) -> NDArray[np.int32]:
    """At most ``number`` of the regions, none twice."""
    chosen = draw.choice(len(regions), min(number, len(regions)), replace=False)
    return np.asarray(regions[chosen])
