from __future__ import annotations

import pytest
import torch
from torch import nn

from detect.models.backbones import registry
from detect.models.backbones.alexnet_original import caffenet
from detect.models.backbones.lenet import ScaledTanh, Subsampling, lenet
from detect.models.backbones.zf import SpatialResponseNorm

# name, side of the crop, sides of the stages' maps
MAPS = [
    ("lenet", 32, [28, 10, 5]),
    ("alexnet_original", 227, [55, 27, 13, 13, 13]),
    ("caffenet", 227, [55, 27, 13, 13, 13]),
    ("alexnet_original", 231, [56, 28, 14, 14, 14]),  # Caffe pools the last row and column too
    ("caffenet", 231, [56, 28, 14, 14, 14]),
    ("caffenet_padded", 227, [57, 29, 15, 15, 15]),
    ("zf", 224, [112, 29, 15, 15, 15]),
    ("vgg_cnn_m_1024", 224, [109, 26, 13, 13, 13]),
]
ALEXNET = 60_965_224  # the figure known for AlexNet with groups
# the sum over layers of inputs * outputs + outputs
ZF = 14_208 + 614_656 + 885_120 + 1_327_488 + 884_992 + 37_752_832 + 16_781_312 + 4_097_000
VGG_CNN_M = 14_208 + 614_656 + 1_180_160 + 2 * 2_359_808 + 75_501_568 + 4_195_328 + 1_025_000
# the paper's 60,000 below its classifier; 300 for two more colors; 900 for the links that its table 1 leaves out
LENET = 60_000 + 300 + 900 + 850
COUNTS = {
    "lenet": LENET,
    "alexnet_original": ALEXNET,
    "caffenet": ALEXNET,
    "caffenet_padded": ALEXNET,
    "zf": ZF,
    "vgg_cnn_m_1024": VGG_CNN_M,
}


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return registry.build_network(name).eval()


@pytest.mark.parametrize(("name", "side", "expected"), MAPS)
def test_map_sizes_are_the_published_ones(name: str, side: int, expected: list[int]) -> None:
    features = torch.empty(1, 3, side, side, device="meta")
    actual = []
    for stage in registry.split_stages(name, on_meta(name)).stages:
        features = stage(features)
        actual.append(features.shape[2])
    assert actual == expected


@pytest.mark.parametrize(("name", "expected"), COUNTS.items())
def test_parameter_counts_are_the_published_ones(name: str, expected: int) -> None:
    assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == expected


@pytest.mark.parametrize("name", ["alexnet_original", "caffenet", "zf", "vgg_cnn_m_1024"])
def test_weights_have_caffes_names(name: str) -> None:
    layers = [*(f"conv{count}" for count in range(1, 6)), "fc6", "fc7", "fc8"]
    expected = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert list(on_meta(name).state_dict()) == expected


@pytest.mark.parametrize(
    ("name", "after"),
    [("alexnet_original", ["norm", "pool"]), ("caffenet", ["pool", "norm"]), ("zf", ["norm", "pool"])],
)
def test_order_of_pooling_and_normalization(name: str, after: list[str]) -> None:
    names = [layer for layer, _ in on_meta(name).named_children()]
    for count in (1, 2):
        index = names.index(f"relu{count}")
        assert names[index + 1 : index + 3] == [f"{kind}{count}" for kind in after]


@pytest.mark.parametrize(
    ("name", "alpha", "offset"),
    [("alexnet_original", 1e-4, 1.0), ("caffenet", 1e-4, 1.0), ("vgg_cnn_m_1024", 5e-4, 2.0)],
)
def test_channel_normalization_equals_caffe(name: str, alpha: float, offset: float) -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 7, 2, 2) * 100
    expected = torch.empty_like(features)
    for channel in range(7):
        near = features[:, max(channel - 2, 0) : channel + 3]
        expected[:, channel] = features[:, channel] / (offset + alpha / 5 * near.square().sum(1)) ** 0.75
    torch.testing.assert_close(on_meta(name).get_submodule("norm1")(features), expected)


def test_zf_normalizes_within_a_channel() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 2, 4, 5) * 200
    expected = torch.empty_like(features)
    for y in range(4):
        for x in range(5):
            near = features[:, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            expected[:, :, y, x] = features[:, :, y, x] / (1 + 5e-5 / 9 * near.square().sum((2, 3))) ** 0.75
    torch.testing.assert_close(SpatialResponseNorm(3, 5e-5, 0.75)(features), expected)
    norm = on_meta("zf").get_submodule("norm2")
    assert isinstance(norm, SpatialResponseNorm)
    torch.testing.assert_close(norm(features), expected)


@torch.no_grad()
def test_initial_weights_distinguish_images() -> None:
    torch.manual_seed(0)
    network = caffenet(num_classes=4).eval()
    vectors = network[:-1](torch.randn(2, 3, 16, 16).repeat_interleave(8, 2).repeat_interleave(8, 3))
    assert (vectors[0] - vectors[1]).std() > 0.05
    assert network[-1](vectors).abs().max() < 1


@torch.no_grad()
def test_lenet_initial_weights_keep_the_variance() -> None:
    torch.manual_seed(0)
    assert lenet()[:-1](torch.randn(8, 3, 32, 32)).std(0).mean() > 0.2


def test_scaled_tanh_maps_one_to_one() -> None:
    values = torch.tensor([-1e3, -1.0, 0.0, 1.0, 1e3])
    torch.testing.assert_close(ScaledTanh()(values), torch.tensor([-1.7159, -1.0, 0.0, 1.0, 1.7159]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(2, 2), (4, 6), (5, 3)])
def test_lenet_subsampling_is_a_weighted_sum_of_four(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = Subsampling(3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    features = torch.randn(2, 3, *size)
    actual = layer(features)
    assert actual.shape == (2, 3, size[0] // 2, size[1] // 2)
    for y in range(size[0] // 2):
        for x in range(size[1] // 2):
            total = features[:, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].sum((2, 3))
            torch.testing.assert_close(actual[:, :, y, x], total * layer.weight + layer.bias)


@pytest.mark.parametrize("layers", [50, 101, 152])
def test_original_resnet_has_the_stride_in_the_1x1_convolution(layers: int) -> None:
    """The paper's figure 5 and table 1: in the first block of conv3, conv4 and conv5."""
    original, later = on_meta(f"resnet{layers}_original"), on_meta(f"resnet{layers}")
    assert {name: value.shape for name, value in original.state_dict().items()} == {
        name: value.shape for name, value in later.state_dict().items()
    }
    strided = [
        name
        for name, layer in original.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2) and "downsample" not in name
    ]
    assert strided == ["conv1", "layer2.0.conv1", "layer3.0.conv1", "layer4.0.conv1"]
