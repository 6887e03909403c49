"""Anchors: the fixed reference boxes of the RPN (Faster R-CNN, section 3.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detect.types import Size


@dataclass(frozen=True)
class AnchorShapes:
    """What stands at every cell of a map: one box for each pair of side and ratio.

    sides: for each map, square roots of areas, in pixels; ratios: height over width; offset: where in its cell an
    anchor is centred, in cells (0.5 is the paper's; 0 is torchvision's and detectron2's); rounded: whether half the
    width and half the height are whole pixels (torchvision's are).
    """

    sides: tuple[tuple[float, ...], ...]
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    offset: float = 0.5
    rounded: bool = False

    def per_cell(self, level: int) -> int:
        """How many anchors stand at one cell of map ``level``."""
        return len(self.sides[level]) * len(self.ratios)

    def on_map(
        self,
        level: int,
        cells: Size,
        spacing: int | Size,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """All anchors of a map of ``cells`` (h, w): (h * w * per_cell, 4) in pixels, row by row, cell by cell.

        spacing: how many pixels apart cells are, down and to the right.
        """
        down, right = (spacing, spacing) if isinstance(spacing, int) else spacing
        shapes = _centred(self.sides[level], self.ratios, device, dtype)
        shapes = shapes.round() if self.rounded else shapes
        y = (torch.arange(cells[0], device=device, dtype=dtype) + self.offset) * down
        x = (torch.arange(cells[1], device=device, dtype=dtype) + self.offset) * right
        centres = torch.stack([*torch.meshgrid(x, y, indexing="xy")], -1).reshape(-1, 1, 2)
        return (centres.repeat(1, 1, 2) + shapes).reshape(-1, 4)


def _centred(sides: Sequence[float], ratios: Sequence[float], device: torch.device, dtype: torch.dtype) -> Tensor:
    """One anchor for each side and ratio, centred at 0: (sides * ratios, 4)."""
    half = [(side / ratio**0.5 / 2, side * ratio**0.5 / 2) for side in sides for ratio in ratios]
    return torch.tensor([(-w, -h, w, h) for w, h in half], device=device, dtype=dtype)
