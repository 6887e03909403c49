"""torchvision's Faster R-CNN with the weights of a model of ours, with inputs as in torchvision's reference code."""

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


def torchvision_reference(bench_model: BenchModel) -> FasterRCNN:
    """Return the model as ``fasterrcnn_resnet50_fpn`` builds it from published weights: frozen batch normalization."""
    config = bench_model.config
    backbone = resnet_fpn_backbone(
        backbone_name=config.model.backbone.name,
        weights=None,
        norm_layer=FrozenBatchNorm2d,
        trainable_layers=5 - config.model.backbone.frozen_stages,
    )
    model = FasterRCNN(backbone, num_classes=len(bench_model.classes) + 1, **_arguments(bench_model))
    names = list(model.state_dict())
    model.load_state_dict(to_torchvision(bench_model.weights, num_sizes_per_map(config), names))
    return model


def to_torchvision_images(images: Sequence[np.ndarray]) -> list[Tensor]:
    """Convert RGB (H, W, 3) uint8 to float (3, H, W) in 0..1, as torchvision's ``to_tensor`` does."""
    return [torch.from_numpy(image).permute(2, 0, 1).contiguous().float().div(255) for image in images]


def to_torchvision_targets(targets: Sequence[Targets]) -> list[dict[str, Tensor]]:
    """Convert targets to the dictionaries that torchvision expects."""
    return [{"boxes": target.boxes, "labels": target.labels} for target in targets]


def _arguments(bench_model: BenchModel) -> dict[str, object]:
    settings = to_dict(bench_model.config)
    arguments = {}
    for key, argument in ARGUMENTS.items():
        setting: object = settings
        for part in key.split("."):
            assert isinstance(setting, dict)
            setting = setting[part]
        arguments[argument] = to_torchvision_argument(key, setting)
    return arguments
