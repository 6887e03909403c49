from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from detect.models.backbones.network import dilate
from detect.models.backbones.same_padding import SamePadding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [
        (1, 3, 2, 1, 1),
        (2, 3, 2, 0, 1),
        (7, 3, 2, 1, 1),
        (8, 3, 2, 0, 1),
        (8, 5, 2, 1, 2),
        (9, 5, 2, 2, 2),
        (9, 3, 3, 0, 0),
        (6, 1, 2, 0, 0),
    ],
)
def test_padding_by_hand(size: int, kernel: int, stride: int, before: int, after: int) -> None:
    padded = SamePadding(kernel, stride)(torch.ones(1, 1, size, size))
    expected = functional.pad(torch.ones(1, 1, size, size), (before, after, before, after))
    assert torch.equal(padded, expected)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from((1, 3, 5)),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_a_strided_convolution_gives_size_over_stride_rounded_up(
    height: int, width: int, kernel: int, stride: int, dilation: int
) -> None:
    padding = SamePadding(kernel, stride)
    padding.dilation = (dilation, dilation)
    convolution = nn.Conv2d(1, 1, kernel, stride, dilation=dilation)
    cells = convolution(padding(torch.zeros(1, 1, height, width))).shape[2:]
    assert tuple(cells) == (-(-height // stride), -(-width // stride))


def test_dilated_padding_keeps_the_size_and_centers_the_kernel() -> None:
    stage = nn.Sequential(SamePadding(3, 2), nn.Conv2d(1, 1, 3, 2, bias=False))
    assert isinstance(stage[1], nn.Conv2d)
    nn.init.constant_(stage[1].weight, 0.0)
    stage[1].weight.data[0, 0, 1, 1] = 1.0
    dilate(stage)
    image = torch.rand(1, 1, 7, 10)
    assert torch.equal(stage(image), image)
