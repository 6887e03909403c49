"""torchvision's Faster R-CNNs, imported: the same boxes, and in training the same losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from detect.bench.same_draws import LOSSES, draw_alike
from detect.checkpoints.torchvision_configs import LAYOUTS
from detect.inference.predictor import Predictor
from detect.ops.preprocess import rescale_boxes
from detect.system.device import Compute
from tests.checkpoints.pairs import Pair, drawn_objects, our_targets, pair, pictures, their_images

OTHERWISE: dict[
    str, dict[str, Any]
] = {  # enough proposals for over 100 detections; a score below which some of the best are dropped
    "fasterrcnn_resnet50_fpn": {"model.rpn.test_after": 90},
    "fasterrcnn_resnet50_fpn_v2": {"model.rpn.test_after": 45},
    "fasterrcnn_mobilenet_v3_large_320_fpn": {"model.rpn.score": 0.99},
}


@pytest.fixture(scope="module", params=LAYOUTS)
def twins(request: pytest.FixtureRequest) -> Pair:
    return pair(request.param, OTHERWISE.get(request.param))


def test_detections_are_theirs_in_float64(twins: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared on the canvas: their way back to the image rounds its scale to float32."""
    twins.to(torch.float64)
    monkeypatch.setattr(twins.theirs.transform, "postprocess", lambda found, *_: found)
    image_files = pictures()
    images = twins.images(image_files, torch.float64)
    with torch.no_grad():
        theirs = twins.theirs(their_images(image_files, torch.float64))
        ours = twins.ours.detect(images)
    for found, wanted in zip(ours, theirs, strict=True):
        assert len(found) == len(wanted["boxes"]) > 100
        assert torch.equal(found.labels, wanted["labels"])
        assert found.labels.unique().numel() > 5
        torch.testing.assert_close(found.scores, wanted["scores"], atol=1e-9, rtol=0)
        torch.testing.assert_close(found.boxes, wanted["boxes"], atol=1e-6, rtol=0)


def test_detections_are_theirs_in_float32(twins: Pair) -> None:
    """In the image's pixels. Nearly equal overlaps and scores may fall on either side of a threshold."""
    twins.to(torch.float32)
    rule, config, classes = twins.checkpoint.preprocess, twins.checkpoint.config, twins.checkpoint.classes
    predictor = Predictor(twins.ours, classes, rule, config, Path(), Compute(torch.device("cpu")))
    here = there = same = 0
    for image in pictures():
        found = predictor.predict(image, score=0.0)
        with torch.no_grad():
            (wanted,) = twins.theirs(their_images([image], torch.float32))
        here, there = here + len(found), there + len(wanted["boxes"])
        for box, label in zip(wanted["boxes"], wanted["labels"], strict=True):
            near = (found.boxes[found.labels == label] - box).abs().amax(1) <= 0.05
            same += bool(near.any())
    assert there > 300
    assert same >= 0.98 * there
    assert abs(here - there) <= 0.02 * there


def test_losses_are_theirs_for_the_same_samples(twins: Pair) -> None:
    twins.to(torch.float64)
    draw_alike(twins.theirs, twins.checkpoint.config)
    image_files, boxes, labels = drawn_objects(2)
    images = twins.images(image_files, torch.float64)
    targets = [
        our_targets(rescale_boxes(own, (image.shape[0], image.shape[1]), size), label)
        for own, label, image, size in zip(boxes, labels, image_files, images.sizes, strict=True)
    ]
    wanted = [{"boxes": own, "labels": label} for own, label in zip(boxes, labels, strict=True)]
    twins.theirs.train()
    twins.ours.train()
    if twins.checkpoint.config.model.backbone.norm == "frozen":  # as theirs are where they start from published weights
        for layer in twins.theirs.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
    with torch.no_grad():
        theirs = twins.theirs(their_images(image_files, torch.float64), wanted)
        ours = twins.ours(images, targets)
    assert ours.keys() == set(LOSSES.values())
    for name, mine in LOSSES.items():
        assert theirs[name] > 0
        assert ours[mine].item() == pytest.approx(theirs[name].item(), rel=1e-5)
