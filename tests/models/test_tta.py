from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from detect.models.detector import Detector
from detect.models.postprocess import Postprocess
from detect.models.tta import AugmentedView, DetectorWithTTA, hflip_images, rescale_images, weighted_box_fusion
from detect.types import Detections, Images, Proposals


def batch() -> Images:
    pixels = torch.zeros(2, 3, 16, 32)
    pixels[0, :, 4:8, 2:10] = 1.0  # a bright box in each image
    pixels[1, :, 2:6, 1:4] = 1.0
    return Images(pixels, ((16, 32), (8, 12)), (1, 2))


class BrightBox(Detector):
    """Finds the extent of what is bright; stands in for a network."""

    def __init__(self, score: float = 0.8) -> None:
        torch.nn.Module.__init__(self)
        self.postprocess = Postprocess(nms_iou=0.5, classes=("bright",))
        self.score = score

    def detect(self, images: Images, maps: Sequence[Tensor] | None = None) -> list[Detections]:  # noqa: ARG002
        detections = []
        for pixels, (height, width) in zip(images.pixels, images.sizes, strict=True):
            y, x = (pixels[0, :height, :width] > 0.5).nonzero(as_tuple=True)
            boxes = torch.tensor([[x.min(), y.min(), x.max() + 1, y.max() + 1]], dtype=torch.float32)
            detections.append(Detections(boxes, torch.tensor([self.score]), torch.tensor([1])))
        return detections


@pytest.mark.parametrize("merge", ["wbf", "nms"])
@pytest.mark.parametrize(
    "views",
    [
        [AugmentedView()],
        [AugmentedView(), AugmentedView(hflip=True)],
        [AugmentedView(), AugmentedView(2.0), AugmentedView(2.0, hflip=True)],
    ],
    ids=len,
)
def test_detections_of_every_view_are_mapped_back_to_the_image(views: Sequence[AugmentedView], merge: str) -> None:
    detections = DetectorWithTTA(BrightBox(), views, "wbf" if merge == "wbf" else "nms").detect(batch())
    for one, expected in zip(detections, ([2.0, 4, 10, 8], [1.0, 2, 4, 6]), strict=True):
        assert one.boxes.shape == (1, 4)
        assert one.boxes[0].tolist() == pytest.approx(expected, abs=0.5)
        assert one.scores.tolist() == pytest.approx([0.8])


class BrightBoxWithMask(BrightBox):
    """Gives every box the mask of its left half."""

    def detect(self, images: Images, maps: Sequence[Tensor] | None = None) -> list[Detections]:
        mask = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
        return [replace(one, masks=mask) for one in super().detect(images, maps)]


@pytest.mark.parametrize("merge", ["wbf", "nms"])
@pytest.mark.parametrize("hflip", [False, True])
def test_masks_are_mapped_back_with_their_boxes(hflip: bool, merge: str) -> None:
    views = [AugmentedView(hflip=hflip)]
    detections = DetectorWithTTA(BrightBoxWithMask(), views, "wbf" if merge == "wbf" else "nms").detect(batch())
    for one in detections:
        assert one.masks is not None
        assert one.masks[0, 0].tolist() == ([0.0, 1.0] if hflip else [1.0, 0.0])


def test_two_flips_give_the_image_and_padding_stays_on_the_right() -> None:
    images = batch()
    once = hflip_images(images)
    assert torch.equal(hflip_images(once).pixels, images.pixels)
    assert once.pixels[1, 0, 2:6, 8:11].min() == 1.0
    assert once.pixels[1, 0, :, 12:].abs().sum() == 0.0


def test_proposals_are_transformed_with_the_image() -> None:
    box = torch.tensor([[1.0, 2, 4, 6]])
    images = replace(batch(), proposals=(Proposals(torch.zeros(0, 4), torch.zeros(0)), Proposals(box, torch.ones(1))))
    for moved, expected in ((hflip_images(images), [8.0, 2, 11, 6]), (rescale_images(images, 2.0), [2.0, 4, 8, 12])):
        assert moved.proposals is not None
        assert moved.proposals[0].boxes.shape == (0, 4)
        assert moved.proposals[1].boxes[0].tolist() == expected


def test_rescaled_images_stay_in_their_corner() -> None:
    large = rescale_images(batch(), 2.0)
    assert large.sizes == ((32, 64), (16, 24))
    assert large.pixels.shape == (2, 3, 32, 64)


SQUARE, TALL, RIGHT = [0.0, 0, 10, 10], [0.0, 0, 10, 12], [2.5, 0, 12.5, 10]  # the IoU of square and right is 0.6


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "views", "keep", "min_iou", "expected"),
    [
        ([], [], [], [], [], 0.55, []),
        ([SQUARE], [0.6], [1], [0], [0], 0.55, [(SQUARE, 0.3)]),  # one view of two
        ([SQUARE, TALL], [0.75, 0.25], [1, 1], [0, 1], [0], 0.55, [([0, 0, 10, 10.5], 0.5)]),
        ([SQUARE, TALL], [0.75, 0.25], [1, 2], [0, 1], [0], 0.55, [(SQUARE, 0.375)]),  # another class
        ([SQUARE, [50, 0, 60, 10]], [0.75, 0.25], [1, 1], [0, 1], [0], 0.55, [(SQUARE, 0.375)]),  # elsewhere
        ([SQUARE, TALL], [0.75, 0.25], [1, 1], [0, 0], [0], 0.55, [(SQUARE, 0.375)]),  # a second box of one view
        # Two objects side by side, each found in both views: two boxes with their own scores.
        ([SQUARE, RIGHT] * 2, [0.5, 0.4] * 2, [1] * 4, [0, 0, 1, 1], [0, 1], 0.7, [(SQUARE, 0.5), (RIGHT, 0.4)]),
        # The second view has one of them: it does not support the other one too.
        ([SQUARE, RIGHT, RIGHT], [0.5, 0.4, 0.4], [1] * 3, [0, 0, 1], [0, 1], 0.7, [(SQUARE, 0.25), (RIGHT, 0.4)]),
        # The second view has one box between them, nearer to the first.
        (
            [SQUARE, RIGHT, [1, 0, 11, 10]],
            [0.5, 0.4, 0.5],
            [1] * 3,
            [0, 0, 1],
            [0, 1],
            0.7,
            [([0.5, 0, 10.5, 10], 0.5), (RIGHT, 0.2)],
        ),
    ],
)
def test_weighted_box_fusion_is_the_weighted_mean_of_one_box_of_each_view(
    boxes: list[list[float]],
    scores: list[float],
    labels: list[int],
    views: list[int],
    keep: list[int],
    min_iou: float,
    expected: list[tuple[list[float], float]],
) -> None:
    fused, confidence = weighted_box_fusion(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(views, dtype=torch.int64),
        torch.tensor(keep, dtype=torch.int64),
        2,
        min_iou,
    )
    assert fused.shape == (len(expected), 4)
    assert confidence.tolist() == pytest.approx([score for _, score in expected])
    for box, (expected_box, _) in zip(fused.tolist(), expected, strict=True):
        assert box == pytest.approx(expected_box)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weighted_box_fusion_under_autocast_has_the_boxes_of_float32(dtype: torch.dtype) -> None:
    stream = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[840.0, 610, 930, 700]]) + 3 * torch.rand(40, 4, generator=stream)
    scores, labels = torch.rand(40, generator=stream), torch.ones(40, dtype=torch.int64)
    arguments = (boxes, scores, labels, torch.arange(40) % 2, torch.arange(5), 2, 0.55)
    expected, expected_confidence = weighted_box_fusion(*arguments)
    with torch.autocast("cpu", dtype):
        fused, confidence = weighted_box_fusion(*arguments)
    assert (fused.dtype, confidence.dtype) == (torch.float32, torch.float32)
    assert float((fused - expected).abs().max()) < 0.05
    assert float((confidence - expected_confidence).abs().max()) < 1e-3


@pytest.mark.parametrize("merge", ["wbf", "nms"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_augmented_detections_under_autocast_are_those_of_float32(dtype: torch.dtype, merge: str) -> None:
    pixels = torch.zeros(1, 3, 720, 960)
    pixels[:, :, 603:701, 811:937] = 1.0
    images = Images(pixels, ((713, 951),), (1,))
    views = [AugmentedView(), AugmentedView(0.8), AugmentedView(1.2, hflip=True)]
    detector = DetectorWithTTA(BrightBox(), views, "wbf" if merge == "wbf" else "nms")
    (expected,) = detector.detect(images)
    with torch.autocast("cpu", dtype):
        (found,) = detector.detect(images)
    assert len(found) == len(expected) == 1
    assert float((found.boxes - expected.boxes).abs().max()) < 0.05
    assert float((found.scores - expected.scores).abs().max()) < 1e-3
