"""Small pieces of maps around some of their cells."""

from __future__ import annotations

import torch
from torch import Tensor


def patches_at(maps: Tensor, cells: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """The neighbourhoods of some cells, zero where they reach over the border as a convolution's padding is.

    maps (N, C, H, W); cells (M,) int64: places among N * H * W -> patches (M, C, k, k) with k = 2 * reach + 1, and
    whether each of their cells lies inside its map, (M, 1, k, k) in the maps' type.
    """
    _, channels, height, width = maps.shape
    table = maps.permute(0, 2, 3, 1).reshape(-1, channels)  # a view where the maps are channels-last
    around = torch.arange(-reach, reach + 1, device=maps.device)
    image, place = cells // (height * width), cells % (height * width)
    y = (place // width)[:, None] + around  # (M, k)
    x = (place % width)[:, None] + around
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    rows = (image[:, None, None] * height + y[:, :, None]) * width + x[:, None, :]
    weight = inside[:, None].to(maps.dtype)
    return table[rows].permute(0, 3, 1, 2) * weight, weight
