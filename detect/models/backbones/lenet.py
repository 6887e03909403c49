"""LeNet-5.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B. Other
than in the paper: three input channels for our pixels instead of one; each map of C3 sees all six of S2 (the paper's
table 1 leaves some out); the classifier is linear where the paper has distances to drawn digits; first weights have a
deviation of one over the root of a unit's inputs (LeCun, Bottou, Orr and Mueller 1998, "Efficient BackProp", section
4.6) where the paper draws them within 2.4 over that number. With those, 300 steps on crops of the built-in shapes (six
classes, Adam) ended at chance, 17% right; with these at 62%. A 32-pixel crop gives maps of 28, 10 and 5 cells.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.backbones.network import Network


class Squash(nn.Module):
    """The paper's sigmoid: 1.7159 tanh(2x / 3), which takes 1 to 1 (appendix A)."""

    def forward(self, features: Tensor) -> Tensor:
        """Any shape -> the same shape, values within 1.7159."""
        return 1.7159 * torch.tanh(features * (2 / 3))


class Subsampling(nn.Module):
    """The sum of 2x2 neighbours, times a learned number for each channel, plus another."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / 2, W / 2)."""
        sums = functional.avg_pool2d(features, 2, divisor_override=1)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


def lenet(classes: int = 10) -> nn.Sequential:
    """Layers named as in the paper, small letters; each is followed by its squashing function."""
    layers: dict[str, nn.Module] = {
        "c1": nn.Conv2d(3, 6, 5),
        "squash1": Squash(),
        "s2": Subsampling(6),
        "squash2": Squash(),
        "c3": nn.Conv2d(6, 16, 5),
        "squash3": Squash(),
        "s4": Subsampling(16),
        "squash4": Squash(),
        "flatten": nn.Flatten(),
        "c5": nn.Linear(16 * 5 * 5, 120),
        "squash5": Squash(),
        "f6": nn.Linear(120, 84),
        "squash6": Squash(),
        "classifier": nn.Linear(84, classes),
    }
    for layer in layers.values():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
            nn.init.zeros_(layer.get_parameter("bias"))
    return nn.Sequential(OrderedDict(layers))


def cut(network: nn.Sequential) -> Network:
    """Stages of stride 1, 2 and 4. S4 learns, so it stays in the body; a region's map is what C5 reads."""
    return Network((network[:2], network[2:6], network[6:8]), network[8:-1], tail_stages=0, bins=5)
