"""What stands between a body and the rest: several maps made into one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Merge(nn.Module):
    """The last two maps as one at the finer stride: the coarse map knows what, the fine one knows where.

    One step of a feature pyramid (Lin et al. 2017, figure 3): 1x1 convolutions to ``width`` channels, the coarse map
    upsampled and added, a 3x3 convolution.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        fine, coarse = channels
        self.fine = nn.Conv2d(fine, width, 1)
        self.coarse = nn.Conv2d(coarse, width, 1)
        self.smooth = nn.Conv2d(width, width, 3, padding=1)
        for layer in (self.fine, self.coarse, self.smooth):
            nn.init.kaiming_uniform_(layer.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        """Two maps, finest first -> one of ``width`` channels."""
        fine, coarse = maps
        up = functional.interpolate(self.coarse(coarse), size=fine.shape[2:], mode="nearest")
        return (self.smooth(self.fine(fine) + up),)


class Backbone(nn.Module):
    """Body, then neck."""

    def __init__(self, body: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.neck = neck

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> maps, finest first."""
        maps: tuple[Tensor, ...] = self.neck(self.body(pixels.to(memory_format=torch.channels_last)))
        return maps
