"""The layers of a region proposal network (Faster R-CNN, section 3.1).

Letters: N images, C channels, W channels of the convolutions, h x w cells of a map, A anchors of a cell, M cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detect.models.backbones.convolutions import ConvType, same_padding_conv
from detect.ops.dtype import output_in_float32
from detect.ops.patches import extract_patches


class RPNHead(nn.Module):
    """One or more 3x3 convolutions, then an objectness logit and four deltas for each anchor of a cell."""

    def __init__(
        self, in_channels: int, channels: int, num_anchors: int, num_convs: int = 1, conv_type: ConvType = "standard"
    ) -> None:
        super().__init__()
        self.conv = same_padding_conv(conv_type, in_channels, channels, 3)
        self.more_convs = nn.ModuleList(
            same_padding_conv(conv_type, channels, channels, 3) for _ in range(num_convs - 1)
        )
        self.objectness = nn.Conv2d(channels, num_anchors, 1)
        self.deltas = nn.Conv2d(channels, num_anchors * 4, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:  # not the kernels of a separable one
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    @property
    def receptive_radius(self) -> int:
        """The distance in cells up to which a map changes the prediction of a cell: 1 for one 3x3 convolution."""
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]
        return sum(int(layer.padding[0]) for layer in layers)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Predict for every cell: (N, C, h, w) -> logits (N, h * w * A), deltas (N, h * w * A, 4), in anchor order."""
        logits, deltas = self._outputs(self._conv_features(features))
        return logits.flatten(1), deltas.flatten(1, 3)

    def forward_at(self, features: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Predict what ``forward`` predicts, for some cells only and at the cost of those alone.

        (N, C, h, w); cells (M,) int64, indices among the N * h * w cells -> logits (M, A), deltas (M, A, 4).

        A cell's prediction depends on the (2 r + 1) x (2 r + 1) cells around it alone, with r = ``receptive_radius``.
        So these neighborhoods are cut out of the map as M small maps, the convolutions run on them, and the center of
        each is the prediction. With one 3x3 convolution r = 1: for 256 cells of a map of 200 x 272 the convolution
        computes 256 * 9 = 2,304 cells in place of 54,400.
        """
        patches, inside = extract_patches(features, cells, self.receptive_radius)
        center = self._conv_features(patches, inside)[:, :, self.receptive_radius, self.receptive_radius]
        logits, deltas = self._outputs(center[:, :, None, None])
        return logits[:, 0, 0], deltas[:, 0, 0]

    def _conv_features(self, features: Tensor, inside: Tensor | None = None) -> Tensor:
        """Run the convolutions: (N, C, h, w) -> (N, W, h, w).

        inside (N, 1, h, w): 0 where a patch extends over the map's border, else 1. On the whole map the next
        convolution would read zero padding there, so the features are set to zero after each convolution.
        """
        for layer in (self.conv, *self.more_convs):
            features = torch.relu(layer(features))
            if inside is not None:
                features = features * inside
        return features

    def _outputs(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the output layers: (N, W, h, w) -> logits (N, h, w, A), deltas (N, h, w, A, 4)."""
        layers = (self.objectness, self.deltas)
        logits, deltas = (output_in_float32(layer, features).permute(0, 2, 3, 1) for layer in layers)
        return logits, deltas.reshape(*logits.shape, 4)
