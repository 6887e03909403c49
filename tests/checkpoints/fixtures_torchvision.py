"""Detectors of torchvision with random weights that give many detections, and the same ones of ours."""

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
from detect.checkpoints.torchvision_export import ARGUMENTS, to_torchvision_argument
from detect.checkpoints.torchvision_import import convert_torchvision_state
from detect.config.builders.detector import build_uninitialized
from detect.data.images import read_image
from detect.data.shapes.dataset import draw_scene
from detect.models.detector import Detector
from detect.ops.preprocess import rescale_boxes
from detect.types import Images, Targets
from tests.conftest import SHARED

SMALL: dict[str, Any] = {  # settings that make a detector small enough for a test
    "data.min_size": 128,
    "data.max_size": 192,
    "model.rpn.pre_nms_top_n_train": 300,
    "model.rpn.post_nms_top_n_train": 60,
    "model.rpn.pre_nms_top_n_test": 400,
    "model.rpn.post_nms_top_n_test": 60,
    "model.rpn.batch_size_per_image": 64,
    "model.head.batch_size_per_image": 24,
    "model.postprocess.max_detections": 300,
}
SIZES = [(150, 100), (100, 125), (97, 118)]  # padded to 192 x 160, where the coarsest map has 3 x 3 cells


@dataclass(frozen=True)
class DetectorPair:
    """A detector of torchvision, the checkpoint imported from it, and our detector with the checkpoint's weights."""

    layout: str
    theirs: FasterRCNN
    checkpoint: Checkpoint
    ours: Detector

    def to(self, dtype: torch.dtype) -> DetectorPair:
        """Return the pair with weights of another type, both converted from the same numbers."""
        self.theirs.to(dtype).eval()
        self.ours.to(dtype).eval()
        self.ours.load_state_dict(self.checkpoint.weights)
        return self

    def images(self, rgb_images: list[np.ndarray], dtype: torch.dtype) -> Images:
        """Return the images (H, W, 3) as a padded batch for our detector."""
        preprocess = self.checkpoint.preprocess
        exact = [rgb.astype(np.float64 if dtype == torch.float64 else np.float32) for rgb in rgb_images]
        return preprocess.batch([preprocess.normalize(preprocess.resize(rgb)) for rgb in exact], range(len(exact)))


def detector_pair(layout: str, settings: dict[str, Any] | None = None) -> DetectorPair:
    """Return a pair of a layout; settings: those that differ from SMALL, applied to both detectors."""
    changed = SMALL | (settings or {})
    torch.manual_seed(5)
    arguments = {ARGUMENTS[key]: to_torchvision_argument(key, value) for key, value in changed.items()}
    theirs = getattr(detection, layout)(weights=None, weights_backbone=None, **arguments)
    spread_outputs(theirs)
    overrides = [f"{key}={value}" for key, value in changed.items()]
    checkpoint = convert_torchvision_state(
        theirs.state_dict(), layout, "test", overrides=[*overrides, "model.backbone.frozen_stages=0"]
    )
    return DetectorPair(layout, theirs, checkpoint, build_uninitialized(checkpoint.config, checkpoint.classes))


@torch.no_grad()
def spread_outputs(model: FasterRCNN) -> None:
    """Set random statistics, and scale outputs to the spread of a trained detector: many boxes pass the thresholds."""
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
    if model.roi_heads.has_mask():
        spreads[model.roi_heads.mask_predictor.mask_fcn_logits] = 2.0
    outputs: dict[nn.Module, list[Tensor]] = {layer: [] for layer in spreads}
    hooks = [
        layer.register_forward_hook(lambda layer, _, out: outputs[layer].append(out.flatten())) for layer in spreads
    ]
    score_thresh, model.rpn.score_thresh = model.rpn.score_thresh, 0.0
    model.eval()(torchvision_images(rgb_images()[:1], torch.float32))
    model.rpn.score_thresh = score_thresh
    for layer, spread in spreads.items():
        layer.weight *= spread / torch.cat(outputs[layer]).std()
    for hook in hooks:
        hook.remove()


def rgb_images() -> list[np.ndarray]:
    """Return small copies (H, W, 3) of real images, or of rendered ones if there are none, of the sizes SIZES."""
    folder = SHARED / "data" / "VOCdevkit" / "VOC2007" / "JPEGImages"
    images = [folder / f"{image_id:06d}.jpg" for image_id in (16, 1421, 2795)]
    if not all(image.is_file() for image in images):
        return [downscaled(draw_scene(0, "val", index).rgb, size) for index, size in enumerate(SIZES)]
    return [downscaled(read_image(image), size) for image, size in zip(images, SIZES, strict=True)]


def downscaled(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the image (H, W, 3) resized to (h, w)."""
    return np.asarray(cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA))


def torchvision_images(images: list[np.ndarray], dtype: torch.dtype) -> list[Tensor]:
    """Return images (H, W, 3) in 0..255 as tensors (3, H, W) in 0..1, as torchvision's detectors take them."""
    return [torch.from_numpy(image).permute(2, 0, 1).to(dtype) / 255 for image in images]


def rendered_objects(num_images: int) -> tuple[list[np.ndarray], list[Tensor], list[Tensor]]:
    """Return rendered images of the first of SIZES, their boxes (G, 4) float64 and labels (G,)."""
    scenes = [draw_scene(0, "train", index) for index in range(num_images)]
    images = [downscaled(scene.rgb, size) for scene, size in zip(scenes, SIZES, strict=False)]
    boxes = [
        rescale_boxes(torch.from_numpy(scene.boxes).double(), (scene.rgb.shape[0], scene.rgb.shape[1]), size)
        for scene, size in zip(scenes, SIZES, strict=False)
    ]
    return images, boxes, [torch.from_numpy(scene.labels).long() for scene in scenes]


def our_targets(boxes: Tensor, labels: Tensor) -> Targets:
    """Return boxes (G, 4) and labels (G,) as targets that are neither difficult nor crowds."""
    flags = torch.zeros(len(boxes), dtype=torch.bool)
    return Targets(boxes, labels, flags, flags)
