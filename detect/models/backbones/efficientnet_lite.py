"""EfficientNet-Lite 0, 1 and 2 with the layer names of the published weights, split into stages and tail.

EfficientNet (Tan and Le 2019) without squeeze-excitation and with ReLU6 for swish, so that it can be quantized; stem
and head keep their width. The definition is that of TensorFlow's ``efficientnet/lite/efficientnet_lite_builder.py``.
Stochastic depth is left out, which is for training on ImageNet.
"""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor, nn

from detect.models.backbones.network import SplitNetwork
from detect.models.backbones.same_padding import SamePadding
from detect.models.backbones.torchvision_nets import RescaleInput, global_average_pool, split_at_strides

STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
EXPANSION = 6  # of the channels within a block; none in the first one
# repeats, kernel, stride, output channels, of width 1 and depth 1 (table 1 of the paper)
STAGES = ((1, 3, 1, 16), (2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80), (3, 5, 1, 112), (4, 5, 2, 192), (1, 3, 1, 320))
# ones that exist as published weights: width, depth
SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}

_batch_norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


class InvertedBottleneck(nn.Module):
    """A block of MobileNetV2 (Sandler et al. 2018): expand, convolve each channel, project; add where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        channels = in_channels * expansion
        self.has_expansion = expansion != 1
        if self.has_expansion:
            self._expand_conv = _convolution(in_channels, channels, 1)
            self._bn0 = _batch_norm(channels)
        self.padding = SamePadding(kernel, stride) if stride > 1 else nn.Identity()
        self._depthwise_conv = _convolution(channels, channels, kernel, stride, groups=channels)
        self._bn1 = _batch_norm(channels)
        self._project_conv = _convolution(channels, out_channels, 1)
        self._bn2 = _batch_norm(out_channels)
        self.activation = nn.ReLU6(inplace=True)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Compute (N, C, H, W) -> (N, D, H / stride, W / stride)."""
        hidden = features
        if self.has_expansion:
            hidden = self.activation(self._bn0(self._expand_conv(hidden)))
        hidden = self.activation(self._bn1(self._depthwise_conv(self.padding(hidden))))
        projected: Tensor = self._bn2(self._project_conv(hidden))
        return projected + features if self.has_shortcut else projected


class EfficientNetLite(nn.Module):
    """The classification network, for pixels normalized by ImageNet's mean and std as all networks here take them."""

    def __init__(self, width: float, depth: float, num_classes: int = 1000) -> None:
        super().__init__()
        self._conv_stem = _convolution(3, STEM_CHANNELS, 3, stride=2)
        self._bn0 = _batch_norm(STEM_CHANNELS)
        blocks, channels = [], STEM_CHANNELS
        for index, (repeats, kernel, stride, out_channels) in enumerate(STAGES):
            scaled = _scale_channels(out_channels, width)
            is_edge = index in (0, len(STAGES) - 1)  # the first and last stage keep their depth
            for repeat in range(repeats if is_edge else math.ceil(repeats * depth)):
                expansion = EXPANSION if index else 1
                blocks.append(InvertedBottleneck(channels, scaled, kernel, 1 if repeat else stride, expansion))
                channels = scaled
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = _convolution(channels, HEAD_CHANNELS, 1)
        self._bn1 = _batch_norm(HEAD_CHANNELS)
        self._fc = nn.Linear(HEAD_CHANNELS, num_classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify (N, 3, H, W) -> (N, num_classes) logits."""
        logits: Tensor = self._fc(global_average_pool()(self.layers()(pixels)))
        return logits

    def layers(self) -> nn.Sequential:
        """Return the layers below the classifier, in order; they share this network's parameters."""
        stem = nn.Sequential(RescaleInput(), SamePadding(3, 2), self._conv_stem, self._bn0, nn.ReLU6(inplace=True))
        return nn.Sequential(stem, *self._blocks, self._conv_head, self._bn1, nn.ReLU6(inplace=True))


def build_efficientnet_lite(name: str) -> EfficientNetLite:
    """Build a network of SCALES with random weights."""
    width, depth = SCALES[name]
    return EfficientNetLite(width, depth)


def split_efficientnet_lite(model: EfficientNetLite) -> SplitNetwork:
    """Split EfficientNet-Lite: stages of stride 2 to 32; the tail is the last one and a mean."""
    return SplitNetwork(split_at_strides(model.layers()), global_average_pool(), tail_stages=1, pool_size=7)


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size, or, if strided, one that needs SamePadding before it."""
    padding = kernel // 2 if stride == 1 else 0
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)


def _scale_channels(channels: int, width: float) -> int:
    """Return ``channels * width`` rounded to a multiple of 8, but not by more than 10% downward."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded
