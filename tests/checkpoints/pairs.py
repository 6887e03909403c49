"""A detector of torchvision's with random weights that say something, and the same one of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection import FasterRCNN

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.torchvision_export import ARGUMENTS, as_argument
from detect.checkpoints.torchvision_import import converted
from detect.config.builders.detector import empty_detector
from detect.data.images import read_image
from detect.data.shapes.dataset import scene
from detect.models.detector import Detector
from detect.ops.preprocess import rescale_boxes
from detect.types import Images, Targets
from tests.conftest import SHARED

SMALL: dict[str, Any] = {  # what makes a detector small enough for a test, by our names
    "data.min_size": 128,
    "data.max_size": 192,
    "model.rpn.train_before": 300,
    "model.rpn.train_after": 60,
    "model.rpn.test_before": 400,
    "model.rpn.test_after": 60,
    "model.rpn.number": 64,
    "model.head.number": 24,
    "model.postprocess.limit": 300,
}
SIZES = [(150, 100), (100, 125), (97, 118)]  # a canvas of 192 x 160; there the map above the pyramid has 3 x 3 cells


@dataclass(frozen=True)
class Pair:
    """theirs, and a checkpoint imported from it; ours, with the checkpoint's weights."""

    theirs: FasterRCNN
    checkpoint: Checkpoint
    ours: Detector

    def to(self, dtype: torch.dtype) -> Pair:
        """Both in another type, from the same numbers."""
        self.theirs.to(dtype).eval()
        self.ours.to(dtype).eval()
        self.ours.load_state_dict(self.checkpoint.weights)
        return self

    def images(self, pictures: list[np.ndarray], dtype: torch.dtype) -> Images:
        """Images as our detector takes them, on one canvas."""
        rule = self.checkpoint.preprocess
        exact = [picture.astype(np.float64 if dtype == torch.float64 else np.float32) for picture in pictures]
        return rule.batch([rule.normalise(rule.resize(picture)) for picture in exact], range(len(pictures)))


def pair(layout: str, settings: dict[str, Any] | None = None) -> Pair:
    """settings: by our names, given to both."""
    wanted = SMALL | (settings or {})
    torch.manual_seed(5)
    arguments = {ARGUMENTS[key]: as_argument(key, value) for key, value in wanted.items()}
    theirs = getattr(detection, layout)(weights=None, weights_backbone=None, **arguments)
    speak_up(theirs)
    overrides = [f"{key}={value}" for key, value in wanted.items()]
    checkpoint = converted(
        theirs.state_dict(), layout, "test", overrides=[*overrides, "model.backbone.frozen_stages=0"]
    )
    return Pair(theirs, checkpoint, empty_detector(checkpoint.config, checkpoint.classes))


@torch.no_grad()
def speak_up(model: FasterRCNN) -> None:
    """Random statistics, and outputs as spread as a trained detector's, so that many boxes pass each threshold."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
    predictor = model.roi_heads.box_predictor
    spreads = {model.rpn.head.cls_logits: 3.0, model.rpn.head.bbox_pred: 0.3, predictor.cls_score: 2.5}
    spreads[predictor.bbox_pred] = 1.0
    said: dict[nn.Module, list[Tensor]] = {layer: [] for layer in spreads}
    hooks = [layer.register_forward_hook(lambda layer, _, out: said[layer].append(out.flatten())) for layer in spreads]
    least, model.rpn.score_thresh = model.rpn.score_thresh, 0.0
    model.eval()(their_images(pictures()[:1], torch.float32))
    model.rpn.score_thresh = least
    for layer, spread in spreads.items():
        layer.weight *= spread / torch.cat(said[layer]).std()
    for hook in hooks:
        hook.remove()


def pictures() -> list[np.ndarray]:
    """Small copies of real images, or of drawn ones where there are none, of several sizes."""
    folder = SHARED / "data" / "VOCdevkit" / "VOC2007" / "JPEGImages"
    images = [folder / f"{number:06d}.jpg" for number in (16, 1421, 2795)]
    if not all(image.is_file() for image in images):
        return [shrunk(scene(0, "val", index).rgb, size) for index, size in enumerate(SIZES)]
    return [shrunk(read_image(image), size) for image, size in zip(images, SIZES, strict=True)]


def shrunk(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA))


def their_images(images: list[np.ndarray], dtype: torch.dtype) -> list[Tensor]:
    return [torch.from_numpy(image).permute(2, 0, 1).to(dtype) / 255 for image in images]


def drawn_objects(number: int) -> tuple[list[np.ndarray], list[Tensor], list[Tensor]]:
    """Drawn pictures of the first of SIZES, their boxes (G, 4) float64 and labels (G,)."""
    scenes = [scene(0, "train", index) for index in range(number)]
    shown = [shrunk(one.rgb, size) for one, size in zip(scenes, SIZES, strict=False)]
    boxes = [
        rescale_boxes(torch.from_numpy(one.boxes).double(), (one.rgb.shape[0], one.rgb.shape[1]), size)
        for one, size in zip(scenes, SIZES, strict=False)
    ]
    return shown, boxes, [torch.from_numpy(one.labels).long() for one in scenes]


def our_targets(boxes: Tensor, labels: Tensor) -> Targets:
    flags = torch.zeros(len(boxes), dtype=torch.bool)
    return Targets(boxes, labels, flags, flags)
