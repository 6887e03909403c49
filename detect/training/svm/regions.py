"""The table of the regions whose features the fits read: their boxes, and the objects of their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detect.training.svm.arrays import read_arrays, write_arrays
from detect.training.svm.examples import RegionLabels, RegressionExamples, label_regions, regression_examples
from detect.types import Targets


@dataclass(frozen=True)
class ImageRegions:
    """The regions of one image.

    image: the index of the image in the data set; key: a hash of 64 bits of the pixels and boxes, on which the features
    depend; boxes (P, 4) float32, those of the objects first; targets: the objects.
    """

    image: int
    key: int
    boxes: torch.Tensor
    targets: Targets


@dataclass(frozen=True)
class RegionTable:
    """The regions of N images, in the order of the data set.

    keys (N,): a hash of each image's regions; boxes (R, 4): those of image n are ``offsets[n]:offsets[n + 1]``, its
    objects first; labels (T,) and crowd (T,): those of the objects of image n are ``objects[n]:objects[n + 1]``.
    """

    keys: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    objects: NDArray[np.int64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.keys)

    def boxes_of(self, index: int) -> torch.Tensor:
        """Return the boxes (P, 4) of image ``index``, those of its objects first."""
        return torch.from_numpy(self.boxes[self.offsets[index] : self.offsets[index + 1]])

    def targets_of(self, index: int) -> Targets:
        """Return the objects of image ``index``; none is marked difficult, since the table does not store that."""
        rows = slice(self.objects[index], self.objects[index + 1])
        labels, crowd = torch.from_numpy(self.labels[rows]), torch.from_numpy(self.crowd[rows])
        boxes = self.boxes_of(index)[: len(labels)]
        return Targets(boxes=boxes, labels=labels, difficult=torch.zeros_like(crowd), crowd=crowd)

    def examples(self, min_iou: float) -> list[RegressionExamples]:
        """Return the examples of the box regressors, image by image."""
        return [regression_examples(self.boxes_of(n), self.targets_of(n), min_iou) for n in range(len(self))]


_NAMES = tuple(field.name for field in fields(RegionTable))


@dataclass(frozen=True)
class TableRegionLabels:
    """The labels of a table's regions, computed on access: all at once take 4 K bytes a region."""

    table: RegionTable
    num_classes: int

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> RegionLabels:
        return label_regions(self.table.boxes_of(index), self.table.targets_of(index), self.num_classes)


def make_table(regions: Sequence[ImageRegions]) -> RegionTable:
    """Return the table of the regions of images, in the order of the data set."""
    ordered = sorted(regions, key=lambda image: image.image)
    none = torch.zeros(0, dtype=torch.int64)
    return RegionTable(
        keys=np.array([image.key for image in ordered], np.uint64),
        offsets=np.cumsum([0, *(len(image.boxes) for image in ordered)]),
        boxes=torch.cat([torch.zeros(0, 4), *(image.boxes for image in ordered)]).numpy(),
        objects=np.cumsum([0, *(len(image.targets) for image in ordered)]),
        labels=torch.cat([none, *(image.targets.labels for image in ordered)]).numpy(),
        crowd=torch.cat([none.bool(), *(image.targets.crowd for image in ordered)]).numpy(),
    )


def write_table(path: Path, table: RegionTable) -> None:
    """Write the table to an ``.npz``, completely or not at all. Raises RunError."""
    write_arrays(path, {name: getattr(table, name) for name in _NAMES})


def read_table(path: Path) -> RegionTable:
    """Read a table that ``write_table`` wrote; raise UserError if the file is something else."""
    arrays = read_arrays(path, "a table of regions", _NAMES)
    return RegionTable(**dict(zip(_NAMES, arrays, strict=True)))
