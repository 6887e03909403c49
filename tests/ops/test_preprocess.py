from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from detect.ops.preprocess import IMAGENET_MEAN, IMAGENET_STD, Channels, Preprocess, rescale_boxes
from detect.types import Proposals, Size

SIDES = st.integers(1, 3000)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (600, 600)),
        ((375, 500), (600, 800)),  # most of VOC
        ((500, 375), (800, 600)),
        ((600, 900), (600, 900)),
        ((600, 1000), (600, 1000)),
        ((600, 1001), (599, 1000)),  # the longer side decides
        ((300, 600), (500, 1000)),
        ((2000, 100), (1000, 50)),
        ((1, 5000), (1, 1000)),  # never less than a pixel
        ((333, 500), (600, 901)),
    ],
)
def test_resize_rule_of_the_paper(size: Size, expected: Size) -> None:
    assert Preprocess().target_size(size) == expected


def test_another_shorter_side_keeps_the_longer_limit() -> None:
    preprocess = Preprocess(min_size=300, max_size=400)
    assert preprocess.target_size((100, 100), 350) == (350, 350)
    assert preprocess.target_size((100, 200), 350) == (200, 400)


@given(st.tuples(SIDES, SIDES), st.integers(1, 1200), st.integers(1, 1500))
@settings(max_examples=40, deadline=None)
def test_resized_sides_respect_both_limits(size: Size, min_size: int, max_size: int) -> None:
    height, width = Preprocess(min_size, max_size).target_size(size)
    assert 1 <= min(height, width) <= max(1, min_size)
    assert max(height, width) <= max(max_size, min_size) or size[0] == size[1]
    assert max(height, width) <= max_size


def test_image_of_the_target_size_is_not_resampled() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    assert Preprocess(60, 100).resize(rgb) is rgb
    assert Preprocess(30, 100).resize(rgb).shape == (30, 40, 3)
    assert Preprocess(30, 100).resize(rgb, 60) is rgb


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 60)])
@pytest.mark.parametrize("moments", [(IMAGENET_MEAN, IMAGENET_STD), ((0.0, 0.5, 1.0), (1.0, 0.5, 0.25))])
def test_normalize_equals_plain_arithmetic(size: Size, moments: tuple[tuple[float, float, float], ...]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    rgb[0, 0] = (0, 128, 255)
    mean, std = moments
    actual = Preprocess(mean=mean, std=std).normalize(rgb)
    assert actual.dtype == torch.float32
    expected = ((rgb / 255.0 - np.array(mean)) / np.array(std)).transpose(2, 0, 1)
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_bgr_normalization_gives_caffes_pixels(kind: type) -> None:
    preprocess = Preprocess(mean=(123.675 / 255, 116.28 / 255, 103.53 / 255), std=(1 / 255,) * 3, channels="bgr")
    pixels = preprocess.normalize(np.array([[[200, 100, 50], [0, 128, 255]]], kind))
    expected = [[50 - 103.53, 255 - 103.53], [100 - 116.28, 128 - 116.28], [200 - 123.675, 0 - 123.675]]
    torch.testing.assert_close(pixels.double(), torch.tensor(expected, dtype=torch.float64)[:, None], atol=2e-5, rtol=0)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5)])
def test_denormalize_inverts_normalize(size: Size, channels: Channels) -> None:
    rgb = np.random.default_rng(4).integers(0, 256, (*size, 3), np.uint8)
    preprocess = Preprocess(channels=channels)
    assert np.array_equal(preprocess.denormalize(preprocess.normalize(rgb)), rgb)


@pytest.mark.parametrize(
    ("size", "limits", "expected"),
    [
        ((1, 1), (800, 1333), (800, 800)),
        ((375, 500), (800, 1333), (800, 1067)),
        ((500, 375), (800, 1333), (1067, 800)),
        ((333, 500), (800, 1333), (800, 1201)),
        ((427, 640), (800, 1333), (800, 1199)),
        ((300, 1000), (800, 1333), (400, 1333)),
        ((2, 5), (5, 100), (5, 13)),  # 12.5 is rounded up, where the papers' rule rounds it to the even 12
        ((1, 5000), (800, 1333), (1, 1333)),  # detectron2's 0 pixels are one here
    ],
)
def test_resize_rule_of_detectron2(size: Size, limits: tuple[int, int], expected: Size) -> None:
    assert Preprocess(*limits, resizing="pil").target_size(size) == expected


def test_pil_downsizing_averages_pixels() -> None:
    """Halved by a bilinear filter twice as wide: weights 1, 3, 3, 1 of 8, at the border without what is outside."""
    rows = np.array([[0, 0, 80, 160, 160, 240]] * 6, np.uint8)
    actual = Preprocess(3, 3, resizing="pil").resize(np.stack([rows] * 3, 2))
    assert actual.dtype == np.uint8
    assert actual[1, :, 0].tolist() == [
        round(80 / 7),
        round((3 * 80 + 3 * 160 + 160) / 8),
        round((160 + 3 * 160 + 3 * 240) / 7),
    ]
    assert actual.shape == (3, 3, 3)


@pytest.mark.parametrize("size", [(1, 1), (37, 50), (60, 61), (120, 33), (375, 500), (64, 64)])
@pytest.mark.parametrize("limits", [(64, 100), (40, 50)])
def test_float_resizing_equals_torchvision(size: Size, limits: tuple[int, int]) -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
    theirs = GeneralizedRCNNTransform(*limits, list(IMAGENET_MEAN), list(IMAGENET_STD))
    preprocess = Preprocess(*limits, resizing="float")
    for image, error in ((rgb, 1e-5), (rgb.astype(np.float64), 1e-13)):
        actual = preprocess.batch([preprocess.normalize(preprocess.resize(image))], [0])
        pixels = torch.from_numpy(rgb).permute(2, 0, 1).to(actual.pixels.dtype) / 255
        expected = theirs.eval()([pixels])[0]
        assert actual.sizes == tuple(map(tuple, expected.image_sizes)) == (preprocess.target_size(size),)
        torch.testing.assert_close(actual.pixels, expected.tensors, atol=error, rtol=0)


@pytest.mark.parametrize(
    ("sizes", "divisor", "expected"),
    [
        ([(1, 1)], 32, (32, 32)),
        ([(32, 64)], 32, (32, 64)),
        ([(33, 64), (10, 65)], 32, (64, 96)),
        ([(33, 64), (10, 65)], 1, (33, 65)),
    ],
)
def test_canvas_fits_all_images_and_is_a_multiple_of_the_divisor(
    sizes: list[Size], divisor: int, expected: Size
) -> None:
    assert Preprocess(divisor=divisor).canvas(sizes) == expected


@pytest.mark.parametrize("canvas", [None, (64, 96)])
def test_a_batch_is_padded_on_the_right_and_at_the_bottom(canvas: Size | None) -> None:
    normalized = [torch.rand(3, 20, 30) + 1, torch.rand(3, 25, 10) + 1]
    images = Preprocess().batch(normalized, [5, 6], canvas=canvas)
    assert images.pixels.shape[2:] == (canvas or (32, 32))
    assert images.pixels.is_contiguous(memory_format=torch.channels_last)
    assert images.sizes == ((20, 30), (25, 10))
    assert images.seeds == (5, 6)
    assert images.proposals is None
    for pixels, image, (height, width) in zip(images.pixels, normalized, images.sizes, strict=True):
        assert torch.equal(pixels[:, :height, :width], image)
        assert int((pixels == 0).sum()) == pixels.numel() - image.numel()


def test_batch_keeps_proposals() -> None:
    proposals = Proposals(torch.zeros(0, 4), torch.zeros(0))
    assert Preprocess().batch([torch.zeros(3, 4, 4)], [0], [proposals]).proposals == (proposals,)


def test_rescaled_boxes_by_hand() -> None:
    boxes = torch.tensor([[10.0, 20, 30, 40]])
    assert rescale_boxes(boxes, (100, 50), (200, 25)).tolist() == [[5.0, 40, 15, 80]]
    assert rescale_boxes(boxes[:0], (100, 50), (200, 25)).shape == (0, 4)


@given(st.lists(st.tuples(*[st.floats(-100, 3000)] * 4), max_size=5), st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
@settings(max_examples=20, deadline=None)
def test_rescaling_boxes_back_restores_them(rows: list[tuple[float, ...]], actual: Size, expected: Size) -> None:
    boxes = torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)
    back = rescale_boxes(rescale_boxes(boxes, actual, expected), expected, actual)
    torch.testing.assert_close(back, boxes)
