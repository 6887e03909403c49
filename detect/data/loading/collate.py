"""What a step or an evaluation gets at once: images, read and moved, put on one canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from detect.data.loading.transforms import Example, Given
from detect.ops.preprocess import Preprocess
from detect.types import Images, Proposals, Size, Targets


class GivenLookup(Protocol):
    """Where given proposals come from; a dict will do. It travels to the workers, so it must be picklable."""

    def __getitem__(self, file: str, /) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (P, 4) in pixels of the original image and scores (P,), best first."""


@dataclass(frozen=True)
class Batch:
    """N images on one canvas; those that could not be read are left out, so N may be 0.

    images: pixels float32, channels last; targets: N, in canvas pixels, or () where nothing is known; originals: N
    times (h, w) of the decoded image; image_ids, files, indices (places in the annotations or the list of files): N
    each; unreadable: a line for each image left out.
    """

    images: Images
    targets: tuple[Targets, ...]
    originals: tuple[Size, ...]
    image_ids: tuple[int, ...]
    files: tuple[str, ...]
    indices: tuple[int, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class LoadedImage:
    """One image before it is in a batch; key: the root of its random draws."""

    example: Example
    original: Size
    image_id: int
    file: str
    index: int
    key: int


@dataclass(frozen=True)
class Collate:
    """Images, or why they cannot be read -> a Batch."""

    preprocess: Preprocess
    with_targets: bool
    with_given: bool

    def __call__(self, items: Sequence[LoadedImage | str]) -> Batch:
        """One batch of them all."""
        images = [item for item in items if isinstance(item, LoadedImage)]
        return Batch(
            images=self._images(images),
            targets=tuple(_targets(image.example) for image in images) if self.with_targets else (),
            originals=tuple(image.original for image in images),
            image_ids=tuple(image.image_id for image in images),
            files=tuple(image.file for image in images),
            indices=tuple(image.index for image in images),
            unreadable=tuple(item for item in items if isinstance(item, str)),
        )

    def _images(self, images: Sequence[LoadedImage]) -> Images:
        given = [_proposals(image.example.given) for image in images if image.example.given is not None]
        kept_given = given if self.with_given else None
        if not images:
            return Images(torch.zeros(0, 3, 1, 1), (), (), () if self.with_given else None)
        pictures = [self.preprocess.normalise(image.example.rgb) for image in images]
        return self.preprocess.batch(pictures, [image.key for image in images], kept_given)


def _targets(example: Example) -> Targets:
    return Targets(
        torch.from_numpy(example.boxes),
        torch.from_numpy(example.labels),
        torch.from_numpy(example.difficult),
        torch.from_numpy(example.crowd),
    )


def _proposals(given: Given) -> Proposals:
    return Proposals(torch.from_numpy(given.boxes), torch.from_numpy(given.scores))
