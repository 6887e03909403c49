"""What a step or an evaluation gets at once: photos, read and moved, put on one canvas."""

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
        """Boxes (P, 4) in pixels of the original photo and scores (P,), best first."""


@dataclass(frozen=True)
class Batch:
    """N photos on one canvas; those that could not be read are left out, so N may be 0.

    images: pixels float32, channels last; targets: N, in canvas pixels, or () where nothing is known; originals: N
    times (h, w) of the decoded photo; image_ids, files, indices (places in the annotations or the list of files): N
    each; unreadable: a line for each photo left out.
    """

    images: Images
    targets: tuple[Targets, ...]
    originals: tuple[Size, ...]
    image_ids: tuple[int, ...]
    files: tuple[str, ...]
    indices: tuple[int, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class LoadedPhoto:
    """One photo before it is in a batch; key: the root of its random draws."""

    example: Example
    original: Size
    image_id: int
    file: str
    index: int
    key: int


@dataclass(frozen=True)
class Collate:
    """Photos, or why they cannot be read -> a Batch."""

    preprocess: Preprocess
    with_targets: bool
    with_given: bool

    def __call__(self, items: Sequence[LoadedPhoto | str]) -> Batch:
        """One batch of them all."""
        photos = [item for item in items if isinstance(item, LoadedPhoto)]
        return Batch(
            images=self._images(photos),
            targets=tuple(_targets(photo.example) for photo in photos) if self.with_targets else (),
            originals=tuple(photo.original for photo in photos),
            image_ids=tuple(photo.image_id for photo in photos),
            files=tuple(photo.file for photo in photos),
            indices=tuple(photo.index for photo in photos),
            unreadable=tuple(item for item in items if isinstance(item, str)),
        )

    def _images(self, photos: Sequence[LoadedPhoto]) -> Images:
        given = [_proposals(photo.example.given) for photo in photos if photo.example.given is not None]
        kept_given = given if self.with_given else None
        if not photos:
            return Images(torch.zeros(0, 3, 1, 1), (), (), () if self.with_given else None)
        pictures = [self.preprocess.normalise(photo.example.rgb) for photo in photos]
        return self.preprocess.batch(pictures, [photo.key for photo in photos], kept_given)


def _targets(example: Example) -> Targets:
    return Targets(
        torch.from_numpy(example.boxes),
        torch.from_numpy(example.labels),
        torch.from_numpy(example.difficult),
        torch.from_numpy(example.crowd),
    )


def _proposals(given: Given) -> Proposals:
    return Proposals(torch.from_numpy(given.boxes), torch.from_numpy(given.scores))
