"""Imported Faster and Mask R-CNNs of torchvision have the same detections, and in training the same losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import transform as their_transform

from detect.bench.same_draws import LOSS_NAMES, share_sampling
from detect.checkpoints.torchvision_configs import LAYOUTS
from detect.inference.predictor import Predictor
from detect.ops.preprocess import rescale_boxes
from detect.system.device import ComputeConfig
from detect.types import Size, Targets
from tests.checkpoints.fixtures_torchvision import (
    DetectorPair,
    detector_pair,
    our_targets,
    rendered_objects,
    rgb_images,
    torchvision_images,
)

SETTINGS: dict[str, dict[str, Any]] = {  # proposals for enough detections; a threshold that drops some of the best
    "fasterrcnn_resnet50_fpn": {"model.rpn.post_nms_top_n_test": 90},
    "fasterrcnn_resnet50_fpn_v2": {"model.rpn.post_nms_top_n_test": 45},
    "fasterrcnn_mobilenet_v3_large_320_fpn": {"model.rpn.score_threshold": 0.99},
    "maskrcnn_resnet50_fpn": {"model.rpn.post_nms_top_n_test": 45},
    "maskrcnn_resnet50_fpn_v2": {"model.rpn.post_nms_top_n_test": 45},
}
MIN_DETECTIONS = {  # of an image, else 100: masks take a minute in float64
    "maskrcnn_resnet50_fpn": 50,
    "maskrcnn_resnet50_fpn_v2": 50,
}

QUICK = "fasterrcnn_mobilenet_v3_large_320_fpn"  # a ResNet-50 in float64 takes ten seconds
LAYOUT_ROWS = [pytest.param(layout, marks=[] if layout == QUICK else pytest.mark.slow) for layout in LAYOUTS]


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest) -> DetectorPair:
    return detector_pair(request.param, SETTINGS.get(request.param))


@pytest.mark.parametrize("pair", LAYOUT_ROWS, indirect=True)
def test_detections_agree_in_float64(pair: DetectorPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes are compared in the padded batch: torchvision rounds the scale to the image to float32."""
    pair.to(torch.float64)
    monkeypatch.setattr(pair.theirs.transform, "postprocess", lambda detections, *_: detections)
    rgb = rgb_images()
    images = pair.images(rgb, torch.float64)
    with torch.no_grad():
        theirs = pair.theirs(torchvision_images(rgb, torch.float64))
        ours = pair.ours.detect(images)
    for detections, expected in zip(ours, theirs, strict=True):
        assert len(detections) == len(expected["boxes"]) > MIN_DETECTIONS.get(pair.layout, 100)
        assert torch.equal(detections.labels, expected["labels"])
        assert detections.labels.unique().numel() > 5
        torch.testing.assert_close(detections.scores, expected["scores"], atol=1e-9, rtol=0)
        torch.testing.assert_close(detections.boxes, expected["boxes"], atol=1e-6, rtol=0)
        assert (detections.masks is not None) == ("masks" in expected)
        if detections.masks is not None:
            assert expected["masks"].std() > 0.1
            torch.testing.assert_close(detections.masks.double(), expected["masks"][:, 0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("pair", LAYOUT_ROWS, indirect=True)
def test_detections_agree_in_float32(pair: DetectorPair) -> None:
    """Boxes are in pixels of the image. Nearly equal IoUs and scores may fall on either side of a threshold."""
    pair.to(torch.float32)
    preprocess, config, classes = pair.checkpoint.preprocess, pair.checkpoint.config, pair.checkpoint.classes
    predictor = Predictor(pair.ours, classes, preprocess, config, Path(), ComputeConfig(torch.device("cpu")))
    num_ours = num_theirs = num_same = 0
    for image in rgb_images():
        detections = predictor.predict(image, score=0.0)
        with torch.no_grad():
            (expected,) = pair.theirs(torchvision_images([image], torch.float32))
        num_ours, num_theirs = num_ours + len(detections), num_theirs + len(expected["boxes"])
        for box, label in zip(expected["boxes"], expected["labels"], strict=True):
            near = (detections.boxes[detections.labels == label] - box).abs().amax(1) <= 0.05
            num_same += bool(near.any())
    assert num_theirs > 3 * MIN_DETECTIONS.get(pair.layout, 100)
    assert num_same >= 0.98 * num_theirs
    assert abs(num_ours - num_theirs) <= 0.02 * num_theirs


@pytest.mark.parametrize("pair", LAYOUT_ROWS, indirect=True)
def test_losses_agree_for_the_same_samples(pair: DetectorPair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.to(torch.float64)
    share_sampling(pair.theirs, pair.checkpoint.config)
    rgb, boxes, labels = rendered_objects(2)
    images = pair.images(rgb, torch.float64)
    targets = [
        our_targets(rescale_boxes(image_boxes, (image.shape[0], image.shape[1]), size), image_labels)
        for image_boxes, image_labels, image, size in zip(boxes, labels, rgb, images.sizes, strict=True)
    ]
    masks = [random_masks(image_targets, size) for image_targets, size in zip(targets, images.sizes, strict=True)]
    targets = [replace(target, masks=bitmaps) for target, bitmaps in zip(targets, masks, strict=True)]
    their_targets = [
        {"boxes": image_boxes, "labels": image_labels, "masks": bitmaps.to(torch.uint8)}
        for image_boxes, image_labels, bitmaps in zip(boxes, labels, masks, strict=True)
    ]
    keep_masks_at_this_size(monkeypatch)
    pair.theirs.train()
    pair.ours.train()
    if (
        pair.checkpoint.config.model.backbone.norm == "frozen"
    ):  # as in torchvision, when it starts from published weights
        for layer in pair.theirs.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
    with torch.no_grad():
        theirs = pair.theirs(torchvision_images(rgb, torch.float64), their_targets)
        ours = pair.ours(images, targets)
    names = {name: LOSS_NAMES[name] for name in theirs}
    assert ours.keys() == set(names.values())
    assert ("loss_mask" in names) == pair.checkpoint.config.model.predicts_masks
    for name, our_name in names.items():
        assert theirs[name] > 0
        assert ours[our_name].value.item() == pytest.approx(theirs[name].item(), rel=1e-5)


def random_masks(targets: Targets, size: Size) -> Tensor:
    """Return random blots in the boxes of the targets, as masks (G, h, w) of an image of ``size``."""
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(len(targets), *size, generator=generator) < 0.7
    for mask, (x1, y1, x2, y2) in zip(masks, targets.boxes.round().long().tolist(), strict=True):
        inside = torch.zeros_like(mask)
        inside[y1:y2, x1:x2] = True
        mask &= inside
    return masks


def keep_masks_at_this_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torchvision's transform leave masks as they are: these have the size of the resized image already."""
    resize = their_transform._resize_image_and_masks

    def resize_image(image: Tensor, *arguments: Any) -> tuple[Tensor, Any]:
        *sizes, target, fixed = arguments
        return resize(image, *sizes, None, fixed)[0], target

    monkeypatch.setattr(their_transform, "_resize_image_and_masks", resize_image)
