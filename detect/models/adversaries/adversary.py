"""The interface of an adversary, and its step in a batch.

A-Fast-RCNN (Wang, Shrivastava and Gupta 2017, arXiv:1704.03414): an adversary spoils the pooled regions of objects so
that the head errs, and the head learns to withstand it. When detecting there is none. Background regions are never
spoiled. Letters: S sampled regions, F of them foreground, C channels, d x d cells of a region, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detect.models.slots import Stage
from detect.system import randomness
from detect.types import MeanLoss, Samples


@dataclass(frozen=True)
class ForegroundRegions:
    """The foreground regions that an adversary spoils.

    maps (F, C, d, d); labels (F,) int64 in 1..K; random_values (F, d * d) float64 in 0..1, the same for the same image
    in the same epoch; num_samples: the number of sampled regions of their images, background included.
    """

    maps: Tensor
    labels: Tensor
    random_values: Tensor
    num_samples: int


@dataclass(frozen=True)
class SpoiledRegions:
    """Spoiled region maps (F, C, d, d), and the losses that the adversary learns from while the detector learns."""

    maps: Tensor
    losses: dict[str, MeanLoss]


class Adversary(nn.Module, ABC):
    """A network that spoils regions in training; it may have no weights."""

    @abstractmethod
    def spoil(self, stage: Stage, regions: ForegroundRegions) -> SpoiledRegions:
        """Spoil regions, of which ``stage`` of the head then learns; its losses give the detector no gradient."""

    def losses_alone(self, stage: Stage, regions: ForegroundRegions) -> dict[str, MeanLoss]:  # noqa: ARG002
        """Return the losses that it learns from alone, while the detector is frozen; none without weights."""
        return {}

    def hiding(self, maps: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return how likely it hides each cell of region maps (F, C, d, d): (F, d, d) in 0..1.

        None where that does not follow from the maps alone, or where it hides nothing.
        """
        return None

    @property
    def learns(self) -> bool:
        """Return whether it has weights to train."""
        return any(True for _ in self.parameters())


@dataclass(frozen=True)
class AdversaryStep:
    """What an adversary does to a batch.

    batch: the number of the batch, from 0. Of its images every second one is spoiled, and clean and spoiled images
    change places from batch to batch: so they alternate with any number of images. (The authors' code has one image of
    each kind in a step.) rank, size: the number of this process and how many there are; each has every ``size``-th
    image of a batch, and the same images are spoiled as in a single process.
    """

    adversary: Adversary
    batch: int
    rank: int = 0
    size: int = 1

    def spoil(
        self, stage: Stage, regional: Tensor, samples: Sequence[Samples], seeds: Sequence[int]
    ) -> tuple[Tensor, dict[str, MeanLoss]]:
        """Return region maps (S, C, d, d) of N images with those of every second one spoiled, and the losses of it."""
        is_spoiled = [(self.batch + self.rank + i * self.size) % 2 == 1 for i in range(len(samples))]
        if not any(is_spoiled):
            return regional, {}
        rows, regions = _foreground(regional, samples, seeds, is_spoiled)
        spoiled = self.adversary.spoil(stage, regions)
        return regional.index_copy(0, rows, spoiled.maps.to(regional.dtype)), spoiled.losses

    def losses_alone(
        self, stage: Stage, regional: Tensor, samples: Sequence[Samples], seeds: Sequence[int]
    ) -> dict[str, MeanLoss]:
        """Return the losses that the adversary learns from alone, from the regions (S, C, d, d) of all N images."""
        _, regions = _foreground(regional.detach(), samples, seeds, [True] * len(samples))
        return self.adversary.losses_alone(stage, regions)


def _foreground(
    regional: Tensor, samples: Sequence[Samples], seeds: Sequence[int], is_spoiled: Sequence[bool]
) -> tuple[Tensor, ForegroundRegions]:
    """Return the rows (F,) of the foreground of these images among all regions (S, C, d, d), and its regions."""
    cells = regional.shape[-1] ** 2
    chosen, random_values = [], []
    for image_samples, seed, image_is_spoiled in zip(samples, seeds, is_spoiled, strict=True):
        chosen.append((image_samples.labels > 0) & image_is_spoiled)
        count = cells * len(image_samples) if image_is_spoiled else 0
        drawn = randomness.uniform(count, regional.device, seed, "adversary").view(-1, cells)
        random_values.append(drawn[image_samples.labels[: len(drawn)] > 0])
    rows = torch.cat(chosen).nonzero().flatten()
    labels = torch.cat([image_samples.labels for image_samples in samples])
    num_samples = sum(len(image) for image, spoiled in zip(samples, is_spoiled, strict=True) if spoiled)
    return rows, ForegroundRegions(
        maps=regional[rows], labels=labels[rows], random_values=torch.cat(random_values), num_samples=num_samples
    )


@torch.no_grad()
def true_class_probability(stage: Stage, maps: Tensor, labels: Tensor) -> Tensor:
    """Return the probability (F,) that the head gives the true class (F,) of region maps (F, C, d, d).

    The head runs as when detecting, without dropout: so two answers differ by the maps alone. (In the authors' code
    each has a dropout of its own.)
    """
    with evaluation_mode(stage):
        logits, _ = stage(maps)
    return logits.softmax(1).gather(1, labels[:, None]).flatten()


@contextmanager
def evaluation_mode(stage: Stage) -> Iterator[None]:
    """Run the layers of a stage as when detecting: no dropout, and no statistics are counted."""
    assert isinstance(stage, nn.Module)
    modes = [(module, module.training) for module in stage.modules()]
    stage.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
