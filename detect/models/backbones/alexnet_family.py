"""The common parts of AlexNet and related networks: five convolutions, then fc6, fc7 and the classifier fc8.

Each network is one sequence of layers, named as in its published Caffe definition, so that weights converted from Caffe
have the same keys (``conv1.weight`` to ``fc8.bias``). Initial weights: fc6 to fc8 from the published Gaussians; the
convolutions as in He et al. 2015 (arXiv:1502.01852), where the authors had Gaussians of 0.01 for pixels of 0 to 255. On
pixels with a standard deviation of 1, those left a deviation of 0.0002 at CaffeNet's fc7, and 54 steps on crops of
shapes did not change the loss.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from detect.models.backbones.network import SplitNetwork

POOL_SIZE = 6  # fc6 reads a map of 6 x 6 cells
STAGE_STARTS = (
    "conv1",
    "pool1",
    "pool2",
    "conv4",
    "conv5",
    "pool5",
)  # the first layer of each; RoI pooling replaces pool5


def fc_layers(channels: int, fc7_dim: int, num_classes: int) -> dict[str, nn.Module]:
    """Return the layers from pool5 to fc8: fc6 has 4096 outputs, fc7 ``fc7_dim``, both with dropout of 0.5.

    pool5 is 3x3 with stride 2 on the 13x13 map of the published crop. It is adaptive here, which is the same for that
    map, and accepts maps of any size.
    """
    return {
        "pool5": nn.AdaptiveMaxPool2d(POOL_SIZE),
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(channels * POOL_SIZE * POOL_SIZE, 4096),
        "relu6": nn.ReLU(inplace=True),
        "drop6": nn.Dropout(0.5),
        "fc7": nn.Linear(4096, fc7_dim),
        "relu7": nn.ReLU(inplace=True),
        "drop7": nn.Dropout(0.5),
        "fc8": nn.Linear(fc7_dim, num_classes),
    }


def init_weights(network: nn.Sequential) -> nn.Sequential:
    """Initialize the weights; biases become 0. Returns the network itself."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif name.startswith("conv"):
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            nn.init.normal_(parameter, std=0.01 if name == "fc8.weight" else 0.005)
    return network


def split_alexnet_family(network: nn.Sequential) -> SplitNetwork:
    """Split into stages of a convolution and the pooling before it; the tail is fc6, fc7 (Fast R-CNN, section 2)."""
    index_of = {name: index for index, (name, _) in enumerate(network.named_children())}
    stages = tuple(network[a:b] for a, b in pairwise(index_of[name] for name in STAGE_STARTS))
    return SplitNetwork(stages, network[index_of["flatten"] : index_of["fc8"]], tail_stages=0, pool_size=POOL_SIZE)
