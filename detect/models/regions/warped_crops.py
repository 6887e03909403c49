"""Regions cropped from the pixels: a pass of the body for each proposal (R-CNN, section 2.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.ops.parallel import rows_at_once, side_by_side
from detect.ops.warp import warp
from detect.types import Images


class WarpedCrops(nn.Module):
    """Warps each box to ``side`` x ``side`` pixels, ``context`` of them around it on each side, and runs the body.

    At most ``chunk`` crops at a time, evenly: without gradients memory holds the maps of so many (with them, of all),
    and normalisation by batch statistics sees so many. The last map is pooled by maxima to ``bins`` x ``bins``, which
    is what a network's last pooling layer does (VGG16 at 224 pixels: 14 to 7; AlexNet at 227: 13 to 6, windows of 3 at
    stride 2); a map of that size stays. Of a smaller one cells would be repeated: detect.config.builders refuses that.
    """

    def __init__(self, body: nn.Module, bins: int, side: int, context: int = 16, chunk: int = 64) -> None:
        super().__init__()
        self.body = body
        self.bins = bins
        self.side = side
        self.context = context
        self.chunk = chunk

    def forward(self, images: Images, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """Boxes: N times (S_i, 4) in canvas pixels -> (S, C, bins, bins), images one after the other, float32."""
        device = images.pixels.device
        number = self.chunk if self.body.training else rows_at_once(self.chunk, device)
        pieces = list(chunks(boxes, number))
        return torch.cat(side_by_side(lambda piece: self._features(images, piece), pieces, device))

    def _features(self, images: Images, boxes: Sequence[Tensor]) -> Tensor:
        return self.map_of(warp(images.pixels, images.sizes, boxes, self.side, self.context))

    def map_of(self, crops: Tensor) -> Tensor:
        """Warped crops (S, 3, side, side) -> (S, C, bins, bins), float32."""
        features: Tensor = self.body(crops)[-1]
        if features.shape[2:] != (self.bins, self.bins):
            features = functional.adaptive_max_pool2d(features, self.bins)
        return features.float()


def chunks(boxes: Sequence[Tensor], number: int) -> Iterator[list[Tensor]]:
    """N times (S_i, 4) in pieces of the same form with at most ``number`` boxes in all, in order; one of none.

    As few as can be, and their sizes differ by at most one: with a number of 3 or more no box goes alone, which would
    leave batch normalisation nothing to measure.
    """
    firsts = list(accumulate((len(own) for own in boxes), initial=0))
    pieces = max(1, -(-firsts[-1] // number))
    for piece in range(pieces):
        start, end = (firsts[-1] * edge // pieces for edge in (piece, piece + 1))
        yield [own[max(start - first, 0) : max(end - first, 0)] for own, first in zip(boxes, firsts[:-1], strict=True)]
