"""Batches of a training or evaluation step: images that were read and transformed, padded to one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from detect.data.loading.transforms import Example, ImageProposals
from detect.ops.preprocess import Preprocess
from detect.types import Images, Proposals, Size, Targets


class ProposalLookup(Protocol):
    """Returns the precomputed proposals of a file; a dict is one.

    It is copied to the workers, so it must be picklable.
    """

    def __getitem__(self, file: str, /) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes (P, 4) in pixels of the original image and scores (P,), best first."""


@dataclass(frozen=True)
class Batch:
    """N images padded to one size. Images that cannot be read are skipped, so N may be 0.

    images: pixels float32, channels last; targets: N, in pixels of the padded images, or () where there are no labels;
    original_sizes: N times (h, w) of the decoded image; image_ids, files, indices (in the annotations or in the list of
    files): N each; unreadable: a line for each image that was skipped; other_sizes: a line for each image that is not
    of the size that its labels state, which are used all the same, clipped to its pixels.
    """

    images: Images
    targets: tuple[Targets, ...]
    original_sizes: tuple[Size, ...]
    image_ids: tuple[int, ...]
    files: tuple[str, ...]
    indices: tuple[int, ...]
    unreadable: tuple[str, ...]
    other_sizes: tuple[str, ...] = ()

    def pin_memory(self) -> Batch:
        """Return the batch in pinned memory, from which a GPU copies while the host goes on.

        torch's DataLoader calls a method of this name.
        """
        return replace(
            self, images=self.images.pin_memory(), targets=tuple(target.pin_memory() for target in self.targets)
        )


@dataclass(frozen=True)
class LoadedImage:
    """One image before it is put into a batch.

    seed: the root of its random draws; other_size: how its size differs from the labels', empty where it does not.
    """

    example: Example
    original_size: Size
    image_id: int
    file: str
    index: int
    seed: int
    other_size: str = ""


@dataclass(frozen=True)
class Collate:
    """Turns loaded images, or the reasons why they cannot be read, into a Batch."""

    preprocess: Preprocess
    with_targets: bool
    with_proposals: bool

    def __call__(self, samples: Sequence[LoadedImage | str]) -> Batch:
        """Return one batch of all samples; a sample is an image or the reason why it cannot be read."""
        images = [sample for sample in samples if isinstance(sample, LoadedImage)]
        return Batch(
            images=self._images(images),
            targets=tuple(_to_targets(image.example) for image in images) if self.with_targets else (),
            original_sizes=tuple(image.original_size for image in images),
            image_ids=tuple(image.image_id for image in images),
            files=tuple(image.file for image in images),
            indices=tuple(image.index for image in images),
            unreadable=tuple(sample for sample in samples if isinstance(sample, str)),
            other_sizes=tuple(image.other_size for image in images if image.other_size),
        )

    def _images(self, images: Sequence[LoadedImage]) -> Images:
        """Return the padded images with their proposals, if any."""
        proposals = [_to_proposals(image.example.proposals) for image in images if image.example.proposals is not None]
        batch_proposals = proposals if self.with_proposals else None
        if not images:
            return Images(torch.zeros(0, 3, 1, 1), (), (), () if self.with_proposals else None)
        normalized = [self.preprocess.normalize(image.example.rgb) for image in images]
        return self.preprocess.batch(normalized, [image.seed for image in images], batch_proposals)


def _to_targets(example: Example) -> Targets:
    """Return the G objects of an example as tensors."""
    return Targets(
        torch.from_numpy(example.boxes),
        torch.from_numpy(example.labels),
        torch.from_numpy(example.difficult),
        torch.from_numpy(example.crowd),
        None if example.masks is None else torch.from_numpy(np.ascontiguousarray(example.masks)),
    )


def _to_proposals(proposals: ImageProposals) -> Proposals:
    """Return the P proposals of an image as tensors."""
    return Proposals(torch.from_numpy(proposals.boxes), torch.from_numpy(proposals.scores))
