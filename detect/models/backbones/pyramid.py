"""A feature pyramid: every scale of a network with the knowledge of its top (Lin et al. 2017, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from detect.models.backbones.convolutions import ConvolutionKind, Upsampling, upsampling
from detect.models.backbones.normalization import NewNorm, convolution


class Pyramid(nn.Module):
    """Maps of several strides -> as many of ``width`` channels, and one more above them.

    A 1x1 convolution of each map, to which the next coarser result is added, upsampled; a 3x3 convolution of each
    sum. The map above the coarsest one is every other cell of it: for large anchors only.
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int,
        norm: NewNorm | None = None,
        kind: ConvolutionKind = "standard",
        up: Upsampling = "nearest",
    ) -> None:
        """kind: of the 3x3 convolutions; up: how a coarser sum becomes as large as the finer one."""
        super().__init__()
        self.lateral = nn.ModuleList(convolution(each, width, 1, norm) for each in channels)
        self.smooth = nn.ModuleList(convolution(width, width, 3, norm, kind) for _ in channels)
        self.up = nn.ModuleList(upsampling(up, width) for _ in channels[1:])
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Finest first -> finest first."""
        sums = [lateral(features) for lateral, features in zip(self.lateral, maps, strict=True)]
        for level in reversed(range(len(sums) - 1)):
            sums[level] = sums[level] + self.up[level](sums[level + 1], sums[level].shape[2:])
        levels = [smooth(each) for smooth, each in zip(self.smooth, sums, strict=True)]
        return (*levels, functional.max_pool2d(levels[-1], kernel_size=1, stride=2))
