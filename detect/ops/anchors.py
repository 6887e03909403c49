"""Anchors, the fixed reference boxes of the RPN (Faster R-CNN, section 3.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detect.ops.constants import constant
from detect.types import Size


@dataclass(frozen=True)
class AnchorGenerator:
    """Generates the anchors of every cell of a map: one box for each pair of size and aspect ratio.

    sizes: for each map, the square roots of the areas, in pixels. aspect_ratios: height divided by width. offset: the
    position of an anchor's center within its cell, in cells (0.5 in the paper; 0 in torchvision and detectron2).
    round_half_sizes: whether half the width and half the height are rounded to whole pixels (True in torchvision).
    """

    sizes: tuple[tuple[float, ...], ...]
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    offset: float = 0.5
    round_half_sizes: bool = False

    def num_anchors_per_location(self, level: int) -> int:
        """Return the number of anchors at each cell of map ``level``."""
        return len(self.sizes[level]) * len(self.aspect_ratios)

    def grid_anchors(
        self,
        level: int,
        map_size: Size,
        stride: int | Size,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Return all anchors of a map of ``map_size`` (h, w), row by row, cell by cell: (h * w * A, 4) in pixels.

        A is the number of anchors of a cell; stride: the distance of neighboring cells in pixels, one for both
        directions, or (down, right).
        """
        down, right = (stride, stride) if isinstance(stride, int) else stride
        y = (torch.arange(map_size[0], device=device, dtype=dtype) + self.offset) * down
        x = (torch.arange(map_size[1], device=device, dtype=dtype) + self.offset) * right
        cell_anchors = _cell_anchors(self.sizes[level], self.aspect_ratios, x)
        cell_anchors = cell_anchors.round() if self.round_half_sizes else cell_anchors
        centers = torch.stack([*torch.meshgrid(x, y, indexing="xy")], -1).reshape(-1, 1, 2)
        return (centers.repeat(1, 1, 2) + cell_anchors).reshape(-1, 4)


def _cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float], like: Tensor) -> Tensor:
    """Return one anchor for each size and aspect ratio, centered at 0: (sizes * ratios, 4), of the kind of ``like``."""
    half = [(size / ratio**0.5 / 2, size * ratio**0.5 / 2) for size in sizes for ratio in aspect_ratios]
    return constant(tuple(side for w, h in half for side in (-w, -h, w, h)), like).view(-1, 4)
