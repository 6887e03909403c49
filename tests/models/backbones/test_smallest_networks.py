"""The smallest network of each family with random weights: body and tail equal it, and every layer gets gradients."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import FrozenBatchNorm2d

from detect.models.backbones import registry
from detect.models.backbones.frozen_norm import FrozenConv2d, freeze_norms
from detect.models.backbones.network import SplitNetwork
from tests.models.backbones.expected_networks import TABLE

# the smallest of each family -> side of its usual crop
SMALLEST = {
    "small": 224,
    "lenet": 32,
    "alexnet_original": 227,
    "zf": 224,
    "vgg_cnn_m_1024": 224,
    "alexnet": 224,
    "vgg11": 224,
    "googlenet": 224,
    "resnet18": 224,
    "densenet121": 224,
    "squeezenet1_0": 224,
    "squeezenet1_1": 224,
    "mobilenet_v2": 224,
    "mobilenet_v3_small": 224,
    "efficientnet_b0": 224,
    "convnext_tiny": 224,
    "regnet_x_400mf": 224,
    "regnet_y_400mf": 224,
}

LARGE = ("alexnet_original", "zf", "vgg_cnn_m_1024", "vgg11")  # fully connected layers of 100 million weights


@dataclass
class Built:
    """One network with random weights, its normalizations at the statistics of a random batch."""

    name: str
    full_network: nn.Module
    network: SplitNetwork

    @property
    def parts(self) -> list[nn.Module]:
        return [*self.network.stages, self.network.tail]

    def vector(self, pixels: Tensor) -> Tensor:
        """Through body and tail; a tail of linear layers reads a map as the network's last pooling leaves it."""
        features = pixels
        for stage in self.network.stages:
            features = stage(features)
        if not self.network.tail_stages:
            features = functional.adaptive_max_pool2d(features, self.network.pool_size)
        return torch.as_tensor(self.network.tail(features))


def fill(network: nn.Module) -> None:
    """Random weights that keep the signal, in a fraction of the time of each network's own."""
    for name, parameter in network.named_parameters():
        if parameter.ndim in (2, 4):
            bound = (6 / parameter[0].numel()) ** 0.5
            nn.init.uniform_(parameter, -bound, bound)
        elif name.endswith("bias"):
            nn.init.uniform_(parameter, -0.2, 0.2)
        else:
            nn.init.uniform_(parameter, 0.5, 1.5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches, of which there will be one


def build(name: str) -> Built:
    torch.manual_seed(0)
    with torch.device("meta"):
        network = registry.build_network(name)
    network.to_empty(device="cpu")
    fill(network)
    module = Built(name, network, registry.split_stages(name, network))
    with torch.no_grad():
        module.vector(torch.randn(2, 3, 64, 64))
    return module


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in SMALLEST]
)
def built(request: pytest.FixtureRequest) -> Built:
    return build(request.param)


def below_classifier(built: Built, pixels: Tensor) -> Tensor:
    """What the whole network's own forward gives its classifier."""
    prefix = TABLE[built.name][3]
    assert prefix is not None
    index = prefix.removesuffix(".")
    classifier = built.full_network.get_submodule(index)
    squeezenet = built.name.startswith("squeezenet")  # its classifier is a convolution, then the mean
    built.full_network.set_submodule(index, nn.AdaptiveAvgPool2d(1) if squeezenet else nn.Identity())
    result = built.full_network(pixels)
    built.full_network.set_submodule(index, classifier)
    return torch.as_tensor(result)


@torch.no_grad()
def test_stages_and_tail_equal_the_full_network(built: Built) -> None:
    built.full_network.eval()
    side = SMALLEST[built.name]
    pixels = torch.randn(1, 3, side, side)
    actual = built.vector(pixels)
    assert actual.std() > 0.01
    if built.name != "small":  # it has no classifier and no forward
        torch.testing.assert_close(actual, below_classifier(built, pixels))


def test_frozen_norms_equal_evaluation(built: Built) -> None:
    stages = nn.Sequential(*built.network.stages).eval()
    frozen = copy.deepcopy(stages)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in frozen.modules())
    freeze_norms(frozen)
    kinds = [type(module) for module in frozen.modules()]
    assert kinds.count(FrozenConv2d) + kinds.count(FrozenBatchNorm2d) == norms
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = stages(pixels)
    after = frozen(pixels)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * float(before.std()))
    after.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in frozen.parameters())


def test_every_layer_gets_a_gradient(built: Built) -> None:
    built.full_network.train()
    built.vector(torch.randn(2, 3, 64, 64)).square().sum().backward()
    grads = [parameter.grad for part in built.parts for parameter in part.parameters()]
    assert all(grad is not None and 0 < grad.norm() < torch.inf for grad in grads)
    built.full_network.zero_grad()
