"""torchvision's Faster R-CNN with the weights of a subject, fed as its own reference code feeds it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.misc import FrozenBatchNorm2d

from detect.bench.random_model import BenchModel
from detect.checkpoints.torchvision_configs import num_sizes_per_map
from detect.checkpoints.torchvision_export import ARGUMENTS, to_torchvision_argument
from detect.checkpoints.torchvision_names import to_torchvision
from detect.config import to_dict
from detect.types import Targets


def torchvision_reference(subject: BenchModel) -> FasterRCNN:
    """As ``fasterrcnn_resnet50_fpn`` builds it where it starts from published weights: fixed normalisations."""
    config = subject.config
    body = resnet_fpn_backbone(
        backbone_name=config.model.backbone.name,
        weights=None,
        norm_layer=FrozenBatchNorm2d,
        trainable_layers=5 - config.model.backbone.frozen_stages,
    )
    model = FasterRCNN(body, num_classes=len(subject.classes) + 1, **_arguments(subject))
    names = list(model.state_dict())
    model.load_state_dict(to_torchvision(subject.weights, num_sizes_per_map(config), names))
    return model


def to_torchvision_images(images: Sequence[np.ndarray]) -> list[Tensor]:
    """RGB uint8 (H, W, 3) -> float (3, H, W) in 0..1, as torchvision's ``to_tensor`` makes them."""
    return [torch.from_numpy(image).permute(2, 0, 1).contiguous().float().div(255) for image in images]


def to_torchvision_targets(targets: Sequence[Targets]) -> list[dict[str, Tensor]]:
    """By their names."""
    return [{"boxes": each.boxes, "labels": each.labels} for each in targets]


def _arguments(subject: BenchModel) -> dict[str, object]:
    plain = to_dict(subject.config)
    arguments = {}
    for key, argument in ARGUMENTS.items():
        value: object = plain
        for part in key.split("."):
            assert isinstance(value, dict)
            value = value[part]
        arguments[argument] = to_torchvision_argument(key, value)
    return arguments
