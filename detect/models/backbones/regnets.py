"""RegNets by name (Radosavovic et al. 2020, arXiv:2003.13678), the same as torchvision's.

torchvision's own functions compute the widths with tensors on the default device, so they fail under
``torch.device("meta")``, where only the size of a model is computed; here the widths are computed on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torchvision import models
from torchvision.models.regnet import BlockParams


def _x(depth: int, w_0: int, w_a: float, w_m: float, group_width: int) -> models.RegNet:
    return _regnet(depth, w_0, w_a, w_m, group_width, None)


def _y(depth: int, w_0: int, w_a: float, w_m: float, group_width: int) -> models.RegNet:
    return _regnet(depth, w_0, w_a, w_m, group_width, 0.25)


def _regnet(
    depth: int, w_0: int, w_a: float, w_m: float, group_width: int, squeeze_ratio: float | None
) -> models.RegNet:
    """Build a RegNet from the paper's parameters: blocks, initial width, slope, step in log space, group width."""
    with torch.device("cpu"):
        blocks = BlockParams.from_init_params(depth, w_0, w_a, w_m, group_width, se_ratio=squeeze_ratio)
    return models.RegNet(blocks)


REGNETS: dict[str, Callable[[], models.RegNet]] = {
    "regnet_x_400mf": partial(_x, 22, 24, 24.48, 2.54, 16),
    "regnet_x_800mf": partial(_x, 16, 56, 35.73, 2.28, 16),
    "regnet_x_1_6gf": partial(_x, 18, 80, 34.01, 2.25, 24),
    "regnet_x_3_2gf": partial(_x, 25, 88, 26.31, 2.25, 48),
    "regnet_x_8gf": partial(_x, 23, 80, 49.56, 2.88, 120),
    "regnet_x_16gf": partial(_x, 22, 216, 55.59, 2.1, 128),
    "regnet_x_32gf": partial(_x, 23, 320, 69.86, 2.0, 168),
    "regnet_y_400mf": partial(_y, 16, 48, 27.89, 2.09, 8),
    "regnet_y_800mf": partial(_y, 14, 56, 38.84, 2.4, 16),
    "regnet_y_1_6gf": partial(_y, 27, 48, 20.71, 2.65, 24),
    "regnet_y_3_2gf": partial(_y, 21, 80, 42.63, 2.66, 24),
    "regnet_y_8gf": partial(_y, 17, 192, 76.82, 2.19, 56),
    "regnet_y_16gf": partial(_y, 18, 200, 106.23, 2.48, 112),
    "regnet_y_32gf": partial(_y, 20, 232, 115.89, 2.53, 232),
    "regnet_y_128gf": partial(_y, 27, 456, 160.83, 2.52, 264),
}
