"""Patches of maps around some of their cells."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def extract_patches(maps: Tensor, cells: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Cut out the neighborhoods of some cells; beyond the border they are zero, as a convolution's padding is.

    maps (N, C, H, W); cells (M,) int64: indices among the N * H * W cells -> patches (M, C, k, k) with
    k = 2 * radius + 1, and whether each of their cells lies inside its map, (M, 1, k, k), 0 or 1 in the maps' dtype.

    Example: with two maps of 4 x 6 cells, cell 39 is in map 39 // 24 = 1, row 15 // 6 = 2, column 15 % 6 = 3. With
    radius 1 its patch has rows 1 to 3 and columns 2 to 4.
    """
    _, channels, height, width = maps.shape
    table = maps.permute(0, 2, 3, 1).reshape(-1, channels)  # a view where the maps are channels-last
    offsets = torch.arange(-radius, radius + 1, device=maps.device)
    image, index = cells // (height * width), cells % (height * width)
    y = (index // width)[:, None] + offsets  # (M, k)
    x = (index % width)[:, None] + offsets
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    rows = (image[:, None, None] * height + y[:, :, None]) * width + x[:, None, :]
    weight = inside[:, None].to(maps.dtype)
    # ``table[rows]`` would add gradients of cells that several patches share by atomic operations, in an order that
    # changes from run to run with two threads; the gradient of an embedding adds them in the order of the patches.
    return functional.embedding(rows, table).permute(0, 3, 1, 2) * weight, weight
