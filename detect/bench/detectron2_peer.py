"""detectron2's Faster R-CNN R50-FPN with random weights, where it is installed, and ours with the same weights.

It is installed from a clone of github.com/facebookresearch/detectron2, with setuptools below 80 and a compiler:
``FORCE_CUDA=0 pip install --no-build-isolation ./detectron2``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detect.bench.random_model import OutputLayer, BenchModel, scale_outputs
from detect.checkpoints.detectron2_import import convert_detectron2_state
from detect.ops.preprocess import rescale_boxes
from detect.types import Detections, Targets

NAME = "COCO-Detection/faster_rcnn_R_50_FPN_1x"


def installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("detectron2") is not None


@dataclass(frozen=True)
class Reference:
    """twin: their model; resize: their transform for an image; subject: the settings and weights of ours."""

    model: nn.Module
    resize: Any
    bench_model: BenchModel

    def detect(self, image: np.ndarray) -> Detections:
        """Their answer to RGB uint8 (H, W, 3), in its pixels."""
        with torch.inference_mode():
            (found,) = self.model([self._model_input(image)])
        seen = found["instances"]
        return Detections(seen.pred_boxes.tensor, seen.scores, seen.pred_classes + 1)

    def losses(self, images: Sequence[np.ndarray], targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Theirs in training; targets are in the images' pixels."""
        from detectron2.structures import Boxes, Instances
        from detectron2.utils.events import EventStorage

        asked = [self._model_input(image) for image in images]
        for one, each in zip(asked, targets, strict=True):
            height, width = one["image"].shape[1:]
            boxes = rescale_boxes(each.boxes, (one["height"], one["width"]), (height, width))
            one["instances"] = Instances((height, width), gt_boxes=Boxes(boxes), gt_classes=each.labels - 1)
        with EventStorage():
            losses: dict[str, Tensor] = self.model(asked)
        return losses

    def _model_input(self, image: np.ndarray) -> dict[str, Any]:
        bgr = image[:, :, ::-1]
        seen = self.resize.get_transform(bgr).apply_image(bgr)
        pixels = torch.as_tensor(seen.astype("float32").transpose(2, 0, 1))
        return {"image": pixels, "height": image.shape[0], "width": image.shape[1]}


def make_reference(image: np.ndarray, seed: int = 0) -> Reference:
    """Random weights whose outputs are spread on ``image`` as those of ``make_subject`` are."""
    from detectron2 import model_zoo
    from detectron2.data.transforms import ResizeShortestEdge
    from detectron2.layers import FrozenBatchNorm2d
    from detectron2.modeling import build_model

    settings = model_zoo.get_config(f"{NAME}.yaml")
    settings.MODEL.DEVICE = "cpu"
    resize = ResizeShortestEdge([settings.INPUT.MIN_SIZE_TEST] * 2, settings.INPUT.MAX_SIZE_TEST)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = build_model(settings).eval()
        for layer in twin.modules():
            if isinstance(layer, FrozenBatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.2)
                nn.init.normal_(layer.bias, std=0.1)
    plain = Reference(twin, resize, _bench_model(twin))
    scale_outputs(_output_layers(twin), lambda: plain.detect(image))
    return Reference(twin, resize, _bench_model(twin))


def _bench_model(twin: nn.Module) -> BenchModel:
    """With copies of the weights as they are now: training changes them in place."""
    return BenchModel.from_checkpoint(convert_detectron2_state({name: value.clone() for name, value in twin.state_dict().items()}, NAME))


def _output_layers(twin: Any) -> tuple[dict[str, OutputLayer], dict[str, OutputLayer]]:
    """The last layers of the RPN and of the head."""
    rpn, head = twin.proposal_generator.rpn_head, twin.roi_heads.box_predictor
    return (
        {"objectness": rpn.objectness_logits, "rpn_deltas": rpn.anchor_deltas},
        {"logits": head.cls_score, "deltas": head.bbox_pred},
    )
