"""LeNet-5.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B.
Differences from the paper: three input channels instead of one; each map of C3 reads all six of S2 (the paper's table 1
leaves some out); the classifier is linear where the paper has distances to drawn digits; initial weights have a
standard deviation of one over the square root of a unit's number of inputs (LeCun, Bottou, Orr and Mueller 1998,
"Efficient BackProp", section 4.6) where the paper draws them within 2.4 over that number. With the paper's, 300 steps
on crops of the built-in shapes (six classes, Adam) ended at chance level, an accuracy of 17%; with these at 62%. A
32-pixel crop gives maps of 28, 10 and 5 cells.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.backbones.network import SplitNetwork


class ScaledTanh(nn.Module):
    """The paper's activation, 1.7159 tanh(2x / 3), which maps 1 to 1 (appendix A)."""

    def forward(self, features: Tensor) -> Tensor:
        """Apply the activation: any shape -> the same shape, values from -1.7159 to 1.7159."""
        return 1.7159 * torch.tanh(features * (2 / 3))


class Subsampling(nn.Module):
    """The paper's subsampling: the sum of 2x2 cells, with a learned scale and bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Subsample (N, C, H, W) -> (N, C, H / 2, W / 2)."""
        sums = functional.avg_pool2d(features, 2, divisor_override=1)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


def lenet(num_classes: int = 10) -> nn.Sequential:
    """Build LeNet-5 with the paper's names of layers in lower case; an activation (``squash``) follows each layer."""
    layers: dict[str, nn.Module] = {
        "c1": nn.Conv2d(3, 6, 5),
        "squash1": ScaledTanh(),
        "s2": Subsampling(6),
        "squash2": ScaledTanh(),
        "c3": nn.Conv2d(6, 16, 5),
        "squash3": ScaledTanh(),
        "s4": Subsampling(16),
        "squash4": ScaledTanh(),
        "flatten": nn.Flatten(),
        "c5": nn.Linear(16 * 5 * 5, 120),
        "squash5": ScaledTanh(),
        "f6": nn.Linear(120, 84),
        "squash6": ScaledTanh(),
        "classifier": nn.Linear(84, num_classes),
    }
    for layer in layers.values():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
            nn.init.zeros_(layer.get_parameter("bias"))
    return nn.Sequential(OrderedDict(layers))


def split_lenet(network: nn.Sequential) -> SplitNetwork:
    """Split into stages of stride 1, 2 and 4. S4 has weights, so it belongs to the body; region maps go to C5."""
    return SplitNetwork((network[:2], network[2:6], network[6:8]), network[8:-1], tail_stages=0, pool_size=5)
