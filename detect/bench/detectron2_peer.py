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

from detect.bench.random_model import BenchModel, scale_outputs
from detect.checkpoints.detectron2_import import convert_detectron2_state
from detect.models.slots import OutputLayer
from detect.ops.preprocess import rescale_boxes
from detect.types import Detections, Targets

NAME = "COCO-Detection/faster_rcnn_R_50_FPN_1x"


def installed() -> bool:
    """Return whether detectron2 is installed."""
    return importlib.util.find_spec("detectron2") is not None


@dataclass(frozen=True)
class Reference:
    """detectron2's model, its resize transform, and the same settings and weights for our detector."""

    model: nn.Module
    resize: Any
    bench_model: BenchModel

    def detect(self, image: np.ndarray) -> Detections:
        """Return detectron2's detections in an RGB image (H, W, 3) uint8, in its pixels."""
        with torch.inference_mode():
            (output,) = self.model([self._model_input(image)])
        instances = output["instances"]
        return Detections(instances.pred_boxes.tensor, instances.scores, instances.pred_classes + 1)

    def losses(self, images: Sequence[np.ndarray], targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Return detectron2's training losses; targets are in the images' pixels."""
        from detectron2.structures import Boxes, Instances
        from detectron2.utils.events import EventStorage

        inputs = [self._model_input(image) for image in images]
        for model_input, target in zip(inputs, targets, strict=True):
            height, width = model_input["image"].shape[1:]
            boxes = rescale_boxes(target.boxes, (model_input["height"], model_input["width"]), (height, width))
            model_input["instances"] = Instances((height, width), gt_boxes=Boxes(boxes), gt_classes=target.labels - 1)
        with EventStorage():
            losses: dict[str, Tensor] = self.model(inputs)
        return losses

    def _model_input(self, image: np.ndarray) -> dict[str, Any]:
        bgr = image[:, :, ::-1]
        resized = self.resize.get_transform(bgr).apply_image(bgr)
        pixels = torch.as_tensor(resized.astype("float32").transpose(2, 0, 1))
        return {"image": pixels, "height": image.shape[0], "width": image.shape[1]}


def make_reference(image: np.ndarray) -> Reference:
    """Return a reference with random weights whose outputs are scaled on ``image`` as in ``make_bench_model``."""
    from detectron2 import model_zoo
    from detectron2.data.transforms import ResizeShortestEdge
    from detectron2.layers import FrozenBatchNorm2d
    from detectron2.modeling import build_model

    settings = model_zoo.get_config(f"{NAME}.yaml")
    settings.MODEL.DEVICE = "cpu"
    resize = ResizeShortestEdge([settings.INPUT.MIN_SIZE_TEST] * 2, settings.INPUT.MAX_SIZE_TEST)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(settings).eval()
        for layer in model.modules():
            if isinstance(layer, FrozenBatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.2)
                nn.init.normal_(layer.bias, std=0.1)
    unscaled = Reference(model, resize, _bench_model(model))
    scale_outputs(_output_layers(model), lambda: unscaled.detect(image))
    return Reference(model, resize, _bench_model(model))


def _bench_model(model: nn.Module) -> BenchModel:
    """Return our settings with copies of the weights as they are now: training changes them in place."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return BenchModel.from_checkpoint(convert_detectron2_state(weights, NAME))


def _output_layers(model: Any) -> tuple[dict[str, OutputLayer], dict[str, OutputLayer]]:
    """Return the last layers of the RPN and of the head."""
    rpn, head = model.proposal_generator.rpn_head, model.roi_heads.box_predictor
    return (
        {"objectness": rpn.objectness_logits, "rpn_deltas": rpn.anchor_deltas},
        {"logits": head.cls_score, "deltas": head.bbox_pred},
    )
