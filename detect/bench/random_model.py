"""A detector with random weights that gives as many detections as a trained one, for all variants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.torchvision_configs import torchvision_config
from detect.config import Config
from detect.config.builders.detector import build_preprocess, build_uninitialized
from detect.config.files import with_overrides
from detect.errors import RunError
from detect.inference.optimize import output_layers
from detect.models.backbones.frozen_norm import FrozenConv2d
from detect.models.detector import Detector
from detect.models.slots import OutputLayer
from detect.ops.preprocess import Preprocess

ARCHITECTURE = "fasterrcnn_resnet50_fpn"
OUTPUT_STDS = {"objectness": 3.0, "rpn_deltas": 0.3, "logits": 2.5, "deltas": 1.0}  # standard deviations
MIN_DETECTIONS = 100  # per image, so that the postprocessing has work to do


@dataclass(frozen=True)
class BenchModel:
    """The settings, class names and weights of a detector of ours.

    config: torchvision's settings with some changed; weights: by the parameter names of our modules.
    """

    config: Config
    classes: tuple[str, ...]
    weights: dict[str, Tensor]

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """Return the model of a checkpoint."""
        return cls(checkpoint.config, checkpoint.classes, checkpoint.weights)

    @property
    def preprocess(self) -> Preprocess:
        """Return the preprocessing of images."""
        return build_preprocess(self.config)

    def detector(self) -> Detector:
        """Return a new detector with these weights."""
        detector = build_uninitialized(self.config, self.classes)
        detector.load_state_dict(self.weights)
        return detector

    def checkpoint(self) -> Checkpoint:
        """Return the model as a checkpoint."""
        return Checkpoint(self.config, self.classes, self.preprocess, self.weights, step=0, metrics={})


def make_bench_model(
    overrides: Sequence[str], num_classes: int, images: Sequence[np.ndarray], seed: int = 0
) -> BenchModel:
    """Return torchvision's R50-FPN with the settings ``overrides`` and random weights, scaled on the first image.

    images: RGB (H, W, 3) uint8. Raises RunError if an image then has fewer than MIN_DETECTIONS detections, and fewer
    than ``max_detections`` allows.
    """
    config = with_overrides(torchvision_config(ARCHITECTURE), [f"seed={seed}", *overrides])
    names = tuple(f"class {label}" for label in range(1, num_classes + 1))
    detector = build_uninitialized(config, names).eval()
    _randomize_norms(detector)
    bench_model = BenchModel(config, names, detector.state_dict())
    scale_outputs(output_layers(detector), lambda: _count_detections(detector, bench_model.preprocess, images[0]))
    counts = [_count_detections(detector, bench_model.preprocess, image) for image in images[:3]]
    if min(counts) < min(MIN_DETECTIONS, config.model.postprocess.max_detections):
        raise RunError(f"random weights: expected at least {MIN_DETECTIONS} detections per image, found {min(counts)}")
    return BenchModel(config, names, {name: value.clone() for name, value in detector.state_dict().items()})


def _randomize_norms(detector: Detector) -> None:
    for layer in detector.modules():
        if isinstance(layer, FrozenConv2d):
            nn.init.uniform_(layer.scale, 0.5, 1.2)
            nn.init.normal_(layer.shift, std=0.1)


@torch.no_grad()
def scale_outputs(layer_groups: Sequence[Mapping[str, OutputLayer]], run: Callable[[], object]) -> None:
    """Scale the weights so that each output has mean 0 and the standard deviation of OUTPUT_STDS in ``run``.

    layer_groups: the layers of the RPN, then those of each stage of the head, whose inputs depend on those before.
    """
    for layers in layer_groups:
        recorded = _record_outputs(layers, run)
        for name, layer in layers.items():
            outputs = torch.cat(recorded[name], 1)  # (outputs, positions)
            mean = outputs.mean(1)  # random layers give similar outputs everywhere: one class would win all boxes
            scale = OUTPUT_STDS[name] / (outputs - mean[:, None]).std()
            layer.weight.mul_(scale)
            assert layer.bias is not None
            layer.bias.sub_(mean).mul_(scale)


def _record_outputs(layers: Mapping[str, OutputLayer], run: Callable[[], object]) -> dict[str, list[Tensor]]:
    """Return the outputs of each layer in each of its calls by ``run``, as (outputs, positions)."""
    recorded: dict[str, list[Tensor]] = {name: [] for name in layers}

    def save_output(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        recorded[name].append(output.transpose(0, 1).flatten(1))

    hooks = [layer.register_forward_hook(partial(save_output, name)) for name, layer in layers.items()]
    run()
    for hook in hooks:
        hook.remove()
    return recorded


@torch.no_grad()
def _count_detections(detector: Detector, preprocess: Preprocess, image: np.ndarray) -> int:
    return len(detector.detect(preprocess.batch([preprocess.normalize(preprocess.resize(image))], [0]))[0])
