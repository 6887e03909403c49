"""A detector of random weights that finds as much as a trained one: what all contenders are given."""

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
from detect.config.builders.detector import build_uninitialized, build_preprocess
from detect.config.files import with_overrides
from detect.errors import RunError
from detect.models.backbones.frozen_norm import FrozenConv2d
from detect.models.detector import Detector
from detect.models.heads.softmax import SoftmaxHead
from detect.models.proposers.rpn import RPN
from detect.ops.preprocess import Preprocess

LAYOUT = "fasterrcnn_resnet50_fpn"
OUTPUT_STDS = {"objectness": 3.0, "rpn_deltas": 0.3, "logits": 2.5, "deltas": 1.0}  # standard deviations of the outputs
OutputLayer = nn.Conv2d | nn.Linear
MIN_DETECTIONS = 100  # detections on an image, so that the last step has work to do


@dataclass(frozen=True)
class BenchModel:
    """config: torchvision's layout with some settings changed; classes: their names; weights: of our modules."""

    config: Config
    classes: tuple[str, ...]
    weights: dict[str, Tensor]

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """What a checkpoint describes."""
        return cls(checkpoint.config, checkpoint.classes, checkpoint.weights)

    @property
    def preprocess(self) -> Preprocess:
        """The rule for images."""
        return build_preprocess(self.config)

    def detector(self) -> Detector:
        """One of ours with these weights."""
        detector = build_uninitialized(self.config, self.classes)
        detector.load_state_dict(self.weights)
        return detector

    def checkpoint(self) -> Checkpoint:
        """As a file holds it."""
        return Checkpoint(self.config, self.classes, self.preprocess, self.weights, step=0, metrics={})


def make_bench_model(overrides: Sequence[str], classes: int, images: Sequence[np.ndarray], seed: int = 0) -> BenchModel:
    """Torchvision's R50-FPN layout with ``overrides``, so many classes, outputs spread on the first of ``images``.

    WorkError where an image then has fewer than FEWEST detections, and fewer than the limit allows.
    """
    config = with_overrides(torchvision_config(LAYOUT), [f"seed={seed}", *overrides])
    names = tuple(f"class {number}" for number in range(1, classes + 1))
    detector = build_uninitialized(config, names).eval()
    _randomize_norms(detector)
    subject = BenchModel(config, names, detector.state_dict())
    scale_outputs(_output_layers(detector), lambda: _count_detections(detector, subject.preprocess, images[0]))
    counts = [_count_detections(detector, subject.preprocess, image) for image in images[:3]]
    if min(counts) < min(MIN_DETECTIONS, config.model.postprocess.max_detections):
        raise RunError(f"random weights: expected at least {MIN_DETECTIONS} detections on an image, found {min(counts)}")
    return BenchModel(config, names, {name: value.clone() for name, value in detector.state_dict().items()})


def _randomize_norms(detector: Detector) -> None:
    for layer in detector.modules():
        if isinstance(layer, FrozenConv2d):
            nn.init.uniform_(layer.scale, 0.5, 1.2)
            nn.init.normal_(layer.shift, std=0.1)


def _output_layers(detector: Detector) -> tuple[dict[str, OutputLayer], dict[str, OutputLayer]]:
    """The last layers of the RPN and of the head."""
    assert isinstance(detector.proposer, RPN)
    assert isinstance(detector.head, SoftmaxHead)
    rpn, head = detector.proposer.head, detector.head
    return {"objectness": rpn.objectness, "rpn_deltas": rpn.deltas}, {"logits": head.logits, "deltas": head.deltas}


@torch.no_grad()
def scale_outputs(parts: Sequence[Mapping[str, OutputLayer]], run: Callable[[], object]) -> None:
    """Scale each output to the spread that SPREADS has for its name, about a mean of 0, on what ``run`` looks at.

    parts: the RPN's layers first, which decide what the head sees.
    """
    for part in parts:
        said = _record_outputs(part, run)
        for name, layer in part.items():
            outputs = torch.cat(said[name], 1)  # one row for each output
            middle = outputs.mean(1)  # random layers answer alike everywhere: one class would win all boxes
            scale = OUTPUT_STDS[name] / (outputs - middle[:, None]).std()
            layer.weight.mul_(scale)
            assert layer.bias is not None
            layer.bias.sub_(middle).mul_(scale)


def _record_outputs(layers: Mapping[str, OutputLayer], run: Callable[[], object]) -> dict[str, list[Tensor]]:
    """What each layer answered while ``run`` ran, output by output: (outputs, all else)."""
    said: dict[str, list[Tensor]] = {name: [] for name in layers}

    def note(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        said[name].append(output.transpose(0, 1).flatten(1))

    hooks = [layer.register_forward_hook(partial(note, name)) for name, layer in layers.items()]
    run()
    for hook in hooks:
        hook.remove()
    return said


@torch.no_grad()
def _count_detections(detector: Detector, rule: Preprocess, image: np.ndarray) -> int:
    return len(detector.detect(rule.batch([rule.normalize(rule.resize(image))], [0]))[0])
