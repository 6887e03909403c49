"""Label the regions of an image for the fits: the class, the overlap with each class, and the deltas to an object.

The regions of an image are the boxes of its objects, in the order of ``Targets``, then its proposals; their features
have the same order. Letters: P regions of an image, G objects, F or D numbers of a feature, K classes.
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
    """The features of each image, (P, F); read on access, so that they can stay on a disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, image: int, /) -> Rows: ...


@dataclass(frozen=True)
class RegionLabels:
    """The labels of the P regions of an image.

    overlaps (P, K) float32: the best IoU with an object of each class; labels (P,): the class of an object's own box,
    0 for proposals.
    """

    overlaps: NDArray[np.float32]
    labels: NDArray[np.int64]


class RegionLabelSource(Protocol):
    """The labels of the regions of each image, by the image's index."""

    def __len__(self) -> int: ...

    def __getitem__(self, image: int, /) -> RegionLabels: ...


def label_regions(boxes: Tensor, targets: Targets, num_classes: int) -> RegionLabels:
    """Return the labels of boxes (P, 4), those of the targets first.

    A crowd is not an example; the overlap of a box with a crowd is the fraction of the box inside it.
    """
    overlaps = torch.zeros(len(boxes), num_classes)
    overlap_with_objects = torch.where(
        targets.crowd, box_ops.ioa(boxes, targets.boxes), box_ops.iou(boxes, targets.boxes)
    ).float()  # (P, G)
    for label in set(targets.labels.tolist()):
        overlaps[:, label - 1] = overlap_with_objects[:, targets.labels == label].max(1).values
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    labels[: len(targets)] = torch.where(targets.crowd, 0, targets.labels)
    return RegionLabels(overlaps=overlaps.numpy(), labels=labels.numpy())


@dataclass(frozen=True)
class RegressionExamples:
    """The E regions of an image that box regressors are fitted on.

    rows (E,): the indices of the regions; labels (E,) in 1..K; deltas (E, 4) float64, in units of the box: those that
    turn it into the box of its object.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    deltas: NDArray[np.float64]


def regression_examples(boxes: Tensor, targets: Targets, min_iou: float = 0.6) -> RegressionExamples:
    """Return those of boxes (P, 4) whose IoU with their best object is at least ``min_iou`` (R-CNN, appendix C)."""
    objects_index = (~targets.crowd).nonzero().flatten()
    if len(objects_index) == 0 or len(boxes) == 0:
        none = np.zeros(0, np.int64)
        return RegressionExamples(rows=none, labels=none, deltas=np.zeros((0, 4)))
    exact, objects = boxes.double(), targets.boxes[objects_index].double()
    best, index = box_ops.iou(exact, objects).max(1)
    rows = (best >= min_iou).nonzero().flatten()
    deltas = box_ops.encode(objects[index[rows]], exact[rows], (1.0, 1.0, 1.0, 1.0))
    labels = targets.labels[objects_index][index[rows]]
    return RegressionExamples(rows=rows.numpy(), labels=labels.numpy(), deltas=deltas.numpy())


def feature_scale(features: Features, seed: int = 0, max_images: int = 200, max_regions: int = 200) -> float:
    """Return the factor that gives features a mean L2 norm of 20; 1 if all are 0 or there are none.

    Measured as R-CNN does (its rcnn_feature_stats.m) on at most ``max_regions`` of each of at most ``max_images``
    images, drawn uniformly of all: for box regressors too, although they are fitted on regions near an object alone.
    For them the norms (P, 1) of all regions can be passed as ``features``, since they have the same scale.
    """
    norms = [np.zeros(0)]
    for image in _draw(len(features), max_images, seed, "photos"):
        rows = features[image]
        row_indices = np.sort(_draw(len(rows), max_regions, seed, image))
        norms.append(np.linalg.norm(rows[row_indices].astype(np.float64), axis=1))
    all_norms: Any = np.concatenate(norms)
    return MEAN_NORM / float(all_norms.mean()) if all_norms.any() else 1.0


def _draw(count: int, max_drawn: int, seed: int, purpose: int | str) -> NDArray[np.int64]:
    """Return at most ``max_drawn`` of 0..count-1, in the order drawn."""
    return randomness.numpy_generator(seed, "feature scale", purpose).permutation(count)[:max_drawn]
