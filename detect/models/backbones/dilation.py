"""A last stage at the resolution of the one before it (DC5: R-FCN, Dai et al. 2016, section 3)."""

from __future__ import annotations

from torch import nn


def dilate(stage: nn.Module) -> None:
    """Make every convolution of ``stage`` step by 1 and look twice as far apart, as detectron2's DC5 does.

    (torchvision's dilated ResNets, made for segmentation, leave the first 3x3 convolution as near as it was.)
    Raises ValueError for a stage that does not halve its map by convolutions which keep its size otherwise.
    """
    layers = [layer for layer in stage.modules() if not list(layer.children())]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    pools = [layer for layer in layers if layer not in convolutions and getattr(layer, "stride", 1) not in (1, (1, 1))]
    strided = [layer for layer in convolutions if layer.stride != (1, 1)]
    even = [layer for layer in convolutions if any(side % 2 == 0 for side in layer.kernel_size)]
    if pools or even or not strided:
        raise ValueError("expected a stage that halves its map by convolutions with odd kernels")
    for layer in convolutions:
        layer.stride = (1, 1)
        layer.dilation = tuple(2 * step for step in layer.dilation)
        layer.padding = tuple(2 * int(side) for side in layer.padding)
