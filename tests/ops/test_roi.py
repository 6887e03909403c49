from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torchvision import ops as torchvision_ops

from detect.ops import roi
from detect.ops.roi import roi_align, roi_pool

SCALE = 1 / 8
MAP = (5, 9, 13)  # channels, height, width: an image of 72 x 104 pixels


def maps(images: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    values = torch.randn(images, *MAP, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return values.to(memory_format=torch.channels_last).requires_grad_()


def boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


roi_align_adaptive = partial(roi_align, sampling_ratio=0)
NONE = boxes()
ORDINARY = boxes((0, 0, 104, 72), (3.3, 7.9, 61.2, 40.5), (10, 10, 50, 14))
OUTSIDE = boxes((-40, -30, 30, 30), (80, 50, 150, 120), (-90, -90, -50, -50), (200, 10, 260, 60), (0, 60, 104, 90))
DEGENERATE = boxes((20, 20, 20, 20), (20, 20, 20, 60), (30, 30, 30.5, 30.5), (50, 50, 40, 45), (0, 0, 0, 0))
LISTS = {
    "empty": [NONE],
    "ordinary": [ORDINARY],
    "outside": [OUTSIDE],
    "degenerate": [DEGENERATE],
    "three images, one without boxes": [ORDINARY, NONE, torch.cat([OUTSIDE, DEGENERATE])],
}


def test_roi_align_is_repeatable_on_cuda_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGPU(torch.Tensor):
        is_cuda = property(lambda _: True)

    used: list[str] = []
    monkeypatch.setattr(torchvision_ops, "roi_align", lambda *_: used.append("kernel"))
    monkeypatch.setattr(roi, "_roi_align_embedding_bag", lambda *_: used.append("bags"))
    features = maps(1).detach().as_subclass(OnGPU)
    roi_align(features, [ORDINARY], 3, SCALE)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    roi_align(features, [ORDINARY], 3, SCALE)
    assert used == ["kernel", "bags"]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("case", LISTS)
def test_roi_align_values_and_gradients_equal_torchvision(case: str, samples: int, aligned: bool) -> None:
    listed = LISTS[case]
    ours, theirs = maps(len(listed)), maps(len(listed))
    actual = roi_align(ours, listed, 4, SCALE, samples, aligned)
    expected = torchvision_ops.roi_align(theirs, listed, (4, 4), SCALE, samples, aligned)
    assert actual.shape == (sum(map(len, listed)), MAP[0], 4, 4)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
    weights = torch.randn(actual.shape, generator=torch.Generator().manual_seed(1))
    torch.autograd.backward((actual * weights).sum())
    torch.autograd.backward((expected * weights).sum())
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_images_without_boxes_have_no_regions(pool: Callable[..., torch.Tensor]) -> None:
    assert pool(maps(2), [NONE, NONE], 3, SCALE).shape == (0, MAP[0], 3, 3)


def test_a_map_of_one_cell() -> None:
    cell = torch.full((1, 2, 1, 1), 3.0)
    assert torch.equal(roi_align(cell, [boxes((0, 0, 8, 8))], 2, SCALE), torch.full((1, 2, 2, 2), 3.0))


def test_memory_layout_does_not_matter() -> None:
    channels_last = maps(1).detach()
    rows = channels_last.contiguous(memory_format=torch.contiguous_format)
    torch.testing.assert_close(roi_align(channels_last, [ORDINARY], 3, SCALE), roi_align(rows, [ORDINARY], 3, SCALE))


@pytest.mark.parametrize("aligned", [True, False])
def test_gradient_is_the_derivative(aligned: bool) -> None:
    values = torch.rand(2, 2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    listed = [boxes((3, 2, 25, 20)).double(), boxes((-4, -4, 12, 12), (10, 10, 10, 10)).double()]
    assert torch.autograd.gradcheck(lambda inputs: roi_align(inputs, listed, 2, SCALE, 2, aligned), values)


def test_boxes_get_no_gradient() -> None:
    moving = ORDINARY.clone().requires_grad_()
    torch.autograd.backward(roi_align(maps(1), [moving], 2, SCALE).sum())
    assert moving.grad is None


def test_adaptive_sampling_equals_torchvision() -> None:
    actual = roi_align(maps(1), [ORDINARY], 2, SCALE, sampling_ratio=0)
    expected = torchvision_ops.roi_align(maps(1), [ORDINARY], (2, 2), SCALE, -1, True)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("pool", [roi_align, roi_align_adaptive, roi_pool])
@pytest.mark.parametrize("maps_dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("box_dtype", [torch.float16, torch.float32, torch.float64])
def test_boxes_of_another_float_type_are_rounded_to_that_of_the_maps(
    pool: Callable[..., torch.Tensor], maps_dtype: torch.dtype, box_dtype: torch.dtype
) -> None:
    values, listed = maps(2, maps_dtype).detach(), [OUTSIDE.to(box_dtype), ORDINARY.to(box_dtype)]
    actual = pool(values, listed, 3, SCALE)
    assert actual.dtype == maps_dtype
    assert torch.equal(actual, pool(values, [box.to(maps_dtype) for box in listed], 3, SCALE))


@pytest.mark.parametrize("pool", [roi_align, roi_align_adaptive, roi_pool])
@pytest.mark.parametrize("corner", [float("nan"), float("inf"), -float("inf")])
def test_boxes_that_are_not_finite_are_refused(pool: Callable[..., torch.Tensor], corner: float) -> None:
    row = [1.0, 2.0, corner, 4.0]
    message = f"boxes: expected finite corners, found {row} as box 1 of image 1"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pool(maps(2), [ORDINARY, boxes((0, 0, 8, 8), (1, 2, corner, 4))], 3, SCALE)


@pytest.mark.parametrize("pool", [roi_align, roi_align_adaptive, roi_pool])
@pytest.mark.parametrize(
    "shapes", [[], [(1, 4)], [(1, 4), (1, 4), (0, 4)], [(2, 4), (2, 3)], [(2, 4), (2, 5)], [(4,), (4,)]]
)
def test_boxes_of_other_shapes_are_refused(pool: Callable[..., torch.Tensor], shapes: list[tuple[int, ...]]) -> None:
    message = f"boxes: expected (S, 4) for each of 2 images, found {', '.join(map(str, shapes)) or 'nothing'}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pool(maps(2), [torch.zeros(shape) for shape in shapes], 3, SCALE)


def test_a_negative_sampling_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^sampling_ratio: expected 0 \(adaptive\) or more, found -1$"):
        roi_align(maps(1), [ORDINARY], 3, SCALE, sampling_ratio=-1)


def test_roi_align_by_hand() -> None:
    """A map that rises by one a cell to the right: the mean of samples is the value at the bin's centre."""
    slope = torch.arange(8.0).expand(1, 1, 6, 8)
    actual = roi_align(slope, [boxes((8, 8, 40, 24))], 2, SCALE)
    # Cells 1..5, so bins 1..3 and 3..5 with centres 2 and 4; cell centres lie at a half.
    assert actual[0, 0].tolist() == [[1.5, 3.5], [1.5, 3.5]]


def test_roi_pool_returns_maxima_of_each_image() -> None:
    values = torch.zeros(2, 1, 4, 4)
    values[0, 0, 0, 0], values[0, 0, 3, 3], values[1, 0, 0, 3] = 1, 2, 3
    actual = roi_pool(values, [boxes((0, 0, 4, 4)), boxes((0, 0, 4, 4), (2, 0, 4, 2))], 2, spatial_scale=1.0)
    assert actual[:, 0].tolist() == [[[1, 0], [0, 2]], [[0, 3], [0, 0]], [[0, 3], [0, 0]]]
