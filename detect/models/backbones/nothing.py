"""The backbone of a detector that shares nothing between its proposals (R-CNN)."""

from __future__ import annotations

from torch import Tensor, nn


class NothingShared(nn.Module):
    """No maps: each region is computed from the pixels."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """(N, 3, H, W) -> no maps."""
        return ()
