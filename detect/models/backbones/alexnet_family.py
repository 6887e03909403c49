"""What AlexNet and its sisters have in common: five convolutions, then fc6, fc7 and the classifier fc8.

Each is one row of layers, named as in its published Caffe definition, so that weights converted from Caffe go by the
same keys (``conv1.weight`` to ``fc8.bias``). First weights: fc6 to fc8 from the published gaussians; the convolutions
as in He et al. 2015 (arXiv:1502.01852), where the makers had gaussians of 0.01 for pixels of 0 to 255. On pixels of
deviation 1 those left 0.0002 of it at CaffeNet's fc7, and 54 steps on crops of shapes did not move the loss.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from detect.models.backbones.network import Network

BINS = 6  # side of the map that fc6 reads
STAGES = ("conv1", "pool1", "pool2", "conv4", "conv5", "pool5")  # where each begins; pool5 becomes the RoI pooling


def fully_connected(channels: int, width: int, classes: int) -> dict[str, nn.Module]:
    """From conv5 to the classifier: fc6 is 4096 wide, fc7 ``width``, both with dropout of a half in training.

    pool5 is 3x3 with stride 2 on the 13x13 map of the published crop; adaptive, it is the same there and takes any map.
    """
    return {
        "pool5": nn.AdaptiveMaxPool2d(BINS),
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(channels * BINS * BINS, 4096),
        "relu6": nn.ReLU(inplace=True),
        "drop6": nn.Dropout(0.5),
        "fc7": nn.Linear(4096, width),
        "relu7": nn.ReLU(inplace=True),
        "drop7": nn.Dropout(0.5),
        "fc8": nn.Linear(width, classes),
    }


def initialise(network: nn.Sequential) -> nn.Sequential:
    """Draw the first weights; biases are 0. Returns the network itself."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif name.startswith("conv"):
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            nn.init.normal_(parameter, std=0.01 if name == "fc8.weight" else 0.005)
    return network


def cut(network: nn.Sequential) -> Network:
    """A stage for each convolution, begun by the pooling before it; the tail is fc6 and fc7 (Fast R-CNN, section 2)."""
    place = {name: number for number, (name, _) in enumerate(network.named_children())}
    stages = tuple(network[a:b] for a, b in pairwise(place[name] for name in STAGES))
    return Network(stages, network[place["flatten"] : place["fc8"]], tail_stages=0, bins=BINS)
