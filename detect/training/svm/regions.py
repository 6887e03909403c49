"""The regions whose features the fits read: where they lie, and which objects their images show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detect.training.svm.arrays import read_arrays, write_arrays
from detect.training.svm.examples import BoxExamples, RegionRoles, box_examples, region_roles
from detect.types import Targets


@dataclass(frozen=True)
class ImageRegions:
    """Of one image: its place in the data set; a key of 64 bits of what its features depend on, pixels and boxes;
    boxes (P, 4) float32, those of the objects first; the objects.
    """

    image: int
    key: int
    boxes: torch.Tensor
    targets: Targets


@dataclass(frozen=True)
class RegionTable:
    """Of N images, ordered by their places: their keys; R boxes, those of image n at ``offsets[n]:offsets[n + 1]``;
    T objects, whose boxes are the first of their image's, at ``objects[n]:objects[n + 1]`` of labels (T,), crowd (T,).
    """

    keys: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    objects: NDArray[np.int64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.keys)

    def boxes_of(self, place: int) -> torch.Tensor:
        """The boxes (P, 4) of an image."""
        return torch.from_numpy(self.boxes[self.offsets[place] : self.offsets[place + 1]])

    def targets_of(self, place: int) -> Targets:
        """The objects of an image; which of them are difficult is not kept, no fit asks for it."""
        own = slice(self.objects[place], self.objects[place + 1])
        labels, crowd = torch.from_numpy(self.labels[own]), torch.from_numpy(self.crowd[own])
        return Targets(self.boxes_of(place)[: len(labels)], labels, torch.zeros_like(crowd), crowd)

    def examples(self, overlap: float) -> list[BoxExamples]:
        """What box regressors learn from, image by image."""
        return [box_examples(self.boxes_of(n), self.targets_of(n), overlap) for n in range(len(self))]


_NAMES = tuple(field.name for field in fields(RegionTable))


@dataclass(frozen=True)
class TableRoles:
    """The roles of a table's regions, worked out when asked for: all at once take 4 K bytes a region."""

    table: RegionTable
    classes: int

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, place: int) -> RegionRoles:
        return region_roles(self.table.boxes_of(place), self.table.targets_of(place), self.classes)


def make_table(regions: Sequence[ImageRegions]) -> RegionTable:
    """The regions of images, in the order of their places in the data set."""
    ordered = sorted(regions, key=lambda one: one.image)
    none = torch.zeros(0, dtype=torch.int64)
    return RegionTable(
        np.array([one.key for one in ordered], np.uint64),
        np.cumsum([0, *(len(one.boxes) for one in ordered)]),
        torch.cat([torch.zeros(0, 4), *(one.boxes for one in ordered)]).numpy(),
        np.cumsum([0, *(len(one.targets) for one in ordered)]),
        torch.cat([none, *(one.targets.labels for one in ordered)]).numpy(),
        torch.cat([none.bool(), *(one.targets.crowd for one in ordered)]).numpy(),
    )


def write_table(path: Path, table: RegionTable) -> None:
    """Write an ``.npz``, whole or not at all. Raises WorkError."""
    write_arrays(path, {name: getattr(table, name) for name in _NAMES})


def read_table(path: Path) -> RegionTable:
    """What ``write_table`` wrote; UserError where the file is something else."""
    return RegionTable(*read_arrays(path, "a table of regions", _NAMES))
