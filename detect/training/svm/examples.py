"""What each region of an image is to the fits: of which class, how far from each class, on which object.

An image's regions are its objects' own boxes, in the order of ``Targets``, then its proposals; their features lie in
the same order. Letters: P regions of an image, G objects, F or D numbers of a feature, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detect.ops import boxes as box_ops
from detect.system import randomness
from detect.types import Targets

Rows = NDArray[np.floating[Any]]  # fp16 or fp32
MEAN_NORM = 20.0  # the norm that R-CNN's C and lambda were chosen at


class Features(Protocol):
    """The features of each image, (P, F); read when asked for, so that they may lie on a disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, image: int, /) -> Rows: ...


@dataclass(frozen=True)
class RegionRoles:
    """overlaps (P, K) float32: the best IoU with an object of each class; labels (P,): an object's class, else 0."""

    overlaps: NDArray[np.float32]
    labels: NDArray[np.int64]


class Roles(Protocol):
    """The roles of each image's regions."""

    def __len__(self) -> int: ...

    def __getitem__(self, image: int, /) -> RegionRoles: ...


def region_roles(boxes: Tensor, targets: Targets, classes: int) -> RegionRoles:
    """Boxes (P, 4), those of the targets first. A crowd is no example, and what lies in it is near its class."""
    overlaps = torch.zeros(len(boxes), classes)
    near = torch.where(
        targets.crowd, box_ops.coverage(boxes, targets.boxes), box_ops.iou(boxes, targets.boxes)
    ).float()  # (P, G)
    for label in set(targets.labels.tolist()):
        overlaps[:, label - 1] = near[:, targets.labels == label].max(1).values
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    labels[: len(targets)] = torch.where(targets.crowd, 0, targets.labels)
    return RegionRoles(overlaps.numpy(), labels.numpy())


@dataclass(frozen=True)
class BoxExamples:
    """Regions of an image that a box regressor learns from.

    rows (E,): which of the image's regions; labels (E,) in 1..K; deltas (E, 4) float64, in units of the box: what turns
    it into its object's.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    deltas: NDArray[np.float64]


def box_examples(boxes: Tensor, targets: Targets, overlap: float = 0.6) -> BoxExamples:
    """Of boxes (P, 4) those whose IoU with their best object is at least ``overlap`` (R-CNN, appendix C)."""
    real = (~targets.crowd).nonzero().flatten()
    if len(real) == 0 or len(boxes) == 0:
        return BoxExamples(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)))
    exact, objects = boxes.double(), targets.boxes[real].double()
    best, index = box_ops.iou(exact, objects).max(1)
    rows = (best >= overlap).nonzero().flatten()
    deltas = box_ops.encode(objects[index[rows]], exact[rows], (1.0, 1.0, 1.0, 1.0))
    return BoxExamples(rows.numpy(), targets.labels[real][index[rows]].numpy(), deltas.numpy())


def feature_scale(features: Features, seed: int = 0, images: int = 200, regions: int = 200) -> float:
    """What features are multiplied by to have a mean L2 norm of 20; 1 where all are 0 or there is none.

    Measured as R-CNN does (its rcnn_feature_stats.m) on at most ``regions`` of each of at most ``images`` images, drawn
    evenly of all: for box regressors too, although they learn from regions near an object alone. There the features of
    all regions need not be at hand: their norms (P, 1) as ``features`` have the same scale.
    """
    norms = [np.zeros(0)]
    for image in _draw(len(features), images, seed, "photos"):
        rows = features[image]
        chosen = np.sort(_draw(len(rows), regions, seed, image))
        norms.append(np.linalg.norm(rows[chosen].astype(np.float64), axis=1))
    total: Any = np.concatenate(norms)
    return MEAN_NORM / float(total.mean()) if total.any() else 1.0


def _draw(count: int, number: int, seed: int, purpose: int | str) -> NDArray[np.int64]:
    """At most ``number`` of 0..count-1, in the order drawn."""
    return randomness.generator(seed, "feature scale", purpose).permutation(count)[:number]
