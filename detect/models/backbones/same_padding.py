"""TensorFlow's padding of strided convolutions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class SamePadding(nn.Module):
    """The padding of a strided convolution as TensorFlow's "SAME" has it: a stride of s gives ceil(size / s) cells.

    Where the padding is odd, the last side has the extra pixel. PyTorch's symmetric padding would shift every strided
    map by half a pixel against the one that the weights were trained on. It stands before a convolution of the same
    kernel, stride and dilation that pads nothing.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.dilation, self.padding = (kernel, kernel), (stride, stride), (1, 1), (0, 0)

    def forward(self, features: Tensor) -> Tensor:
        """Pad (N, C, H, W) with zeros."""
        top, bottom = self._padding_of(features.shape[-2], axis=0)
        left, right = self._padding_of(features.shape[-1], axis=1)
        return functional.pad(features, (left, right, top, bottom))

    def _padding_of(self, size: int, axis: int) -> tuple[int, int]:
        stride, extent = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        # ceil(size / stride) cells reach from 0 to (size - 1) // stride * stride + extent. torch.export reads this form
        # of the difference in seconds; with a ceiling and a maximum it took minutes for EfficientNet-Lite.
        total = extent - 1 - (size - 1) % stride
        if extent < stride:
            total = max(total, 0)
        return total // 2, total - total // 2
