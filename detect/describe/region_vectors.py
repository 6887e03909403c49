"""Vectors of features of the regions of a photo, from three networks.

All three pool boxes from maps, or crop them (R-CNN), as the detector itself does; they differ in where they stop. Only
``NetworkVectors`` has a network of its own: a detector of few classes knows little else than these, while the body of a
classifier of ImageNet tells apart what no class of the detector does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from detect.models.backbones import registry
from detect.models.backbones.network import StagedBody, map_shapes
from detect.models.backbones.pretrained import load_pretrained
from detect.models.detector import Detector
from detect.models.heads.tails import run_in_chunks
from detect.ops.preprocess import Preprocess, rescale_boxes
from detect.ops.roi import roi_align
from detect.types import Images, Size

_MIDDLE = 0.7  # of the sides of a box: its corners belong to the background more often than to the object
_GRAY_CHROMA = 40  # of 255: below this difference of the strongest and the weakest channel a pixel has no clear hue


class RegionVectors(Protocol):
    """The network that the features of regions come from."""

    def __call__(self, rgb: np.ndarray, images: Images, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Return the vectors (R, F) of boxes (R, 4), in pixels of the photo rgb (H, W, 3) uint8.

        images, maps: the photo as the detector reads it, a batch of one, and the maps of its backbone.
        """


@dataclass(frozen=True)
class HeadVectors:
    """The vectors that the last stage of the detector's head makes its predictions from."""

    detector: Detector

    def __call__(self, rgb: np.ndarray, images: Images, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Return the vectors (R, F), as ``RegionVectors`` says."""
        regional = self.detector.regions(images, maps, [_on_canvas(boxes, rgb, images)])
        return self.detector.head.stages[-1].classifier_input(regional)


@dataclass(frozen=True)
class BodyVectors:
    """The mean of the map of each region, one number a channel, below the detector's head."""

    detector: Detector

    def __call__(self, rgb: np.ndarray, images: Images, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Return the vectors (R, C), as ``RegionVectors`` says."""
        return self.detector.regions(images, maps, [_on_canvas(boxes, rgb, images)]).mean(dim=(2, 3))


class NetworkVectors(nn.Module):
    """The vectors below the classifier of a classification network, of boxes pooled from its map, as in Fast R-CNN.

    preprocess: the size of the photo as the network reads it.
    """

    def __init__(self, name: str, weights: str, preprocess: Preprocess) -> None:
        """Load the network by its name and weights, those of model.backbone. Raises UserError."""
        super().__init__()
        registry.require_known(name)
        network = registry.build_network(name)
        load_pretrained(network, name, weights)
        split = registry.split_stages(name, network)
        cut = len(split.stages) - split.tail_stages
        self.body = StagedBody(split.stages[:cut], cut, 1)
        self.tail = nn.Sequential(*split.stages[cut:], split.tail)
        self.pool_size = split.pool_size
        self.stride = map_shapes(self.body)[0].stride
        self.preprocess = preprocess
        self.requires_grad_(False).eval()

    def forward(self, rgb: np.ndarray, images: Images, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:  # noqa: ARG002
        """Return the vectors (R, F), as ``RegionVectors`` says; the maps of the detector are not read."""
        batch = self.preprocess.batch([self.preprocess.normalize(self.preprocess.resize(rgb))], [0])
        (features,) = self.body(batch.pixels.to(boxes.device))
        pooled = roi_align(features, [_on_canvas(boxes, rgb, batch)], self.pool_size, 1 / self.stride)
        return run_in_chunks(self.tail, pooled).flatten(1)


def pixel_grid(rgb: np.ndarray, boxes: Tensor, side: int) -> Tensor:
    """Return the mean colors (R, 3 side side) in 0..1 of the cells of a grid over each box (R, 4) of rgb (H, W, 3)."""
    pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(boxes.device).permute(2, 0, 1)[None].float() / 255
    return roi_align(pixels, [boxes], side, spatial_scale=1.0, sampling_ratio=0).flatten(1)


def hue_histogram(rgb: np.ndarray, boxes: Tensor, num_hues: int) -> Tensor:
    """Return how much of the middle of each box (R, 4) of rgb (H, W, 3) has which hue, as (R, num_hues + 1) in 0..1.

    The hues are equal arcs of the color circle, the first centered on red; the last number is the share of gray pixels,
    which have no clear hue. A mean of colors loses what a name of a color needs: red stripes on green are brown to it.
    """
    image = np.ascontiguousarray(rgb)
    degrees = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[..., 0]
    bins = np.round(degrees * num_hues / 360).astype(np.int64) % num_hues
    bins[np.ptp(image, axis=2) < _GRAY_CHROMA] = num_hues
    height, width = bins.shape
    rows = []
    for x1, y1, x2, y2 in boxes.double().cpu().numpy():
        margin_x, margin_y = (x2 - x1) * (1 - _MIDDLE) / 2, (y2 - y1) * (1 - _MIDDLE) / 2
        left, top = min(int(max(0, x1 + margin_x)), width - 1), min(int(max(0, y1 + margin_y)), height - 1)
        right, bottom = max(left + 1, round(x2 - margin_x)), max(top + 1, round(y2 - margin_y))
        counts = np.bincount(bins[top:bottom, left:right].ravel(), minlength=num_hues + 1)
        rows.append(counts / counts.sum())
    return torch.from_numpy(np.array(rows, np.float32).reshape(len(boxes), num_hues + 1)).to(boxes.device)


def photo_box(size: Size) -> Tensor:
    """Return the box (1, 4) of a whole photo of ``size`` (h, w)."""
    return torch.tensor([[0, 0, size[1], size[0]]], dtype=torch.float32)


def _on_canvas(boxes: Tensor, rgb: np.ndarray, images: Images) -> Tensor:
    """Return boxes in pixels of the photo in those of the only image of a batch."""
    return rescale_boxes(boxes, (rgb.shape[0], rgb.shape[1]), images.sizes[0])
