from __future__ import annotations

import math

import pytest
import torch

from detect.ops.losses import region_losses, rpn_losses, smooth_l1_sum


@pytest.mark.parametrize(
    ("actual", "target", "beta", "expected"),
    [
        ([], [], 1.0, 0.0),
        ([], [], 0.0, 0.0),
        ([3.0], [3.0], 1.0, 0.0),
        ([0.5], [0.0], 1.0, 0.125),  # 0.5 x^2
        ([-3.0], [0.0], 1.0, 2.5),  # |x| - 0.5
        ([1.0], [0.0], 1.0, 0.5),
        ([0.05], [0.0], 1 / 9, 0.5 * 0.05**2 * 9),  # 0.5 (sigma x)^2 with sigma 3
        ([2.0], [0.0], 1 / 9, 2.0 - 0.5 / 9),  # |x| - 0.5 / sigma^2
        ([2.0, -0.1], [0.0, 0.0], 0.0, 2.1),
        ([0.5, -3.0, 1.0], [0.0, 0.0, 0.0], 1.0, 3.125),  # a sum
    ],
)
def test_smooth_l1_by_hand(actual: list[float], target: list[float], beta: float, expected: float) -> None:
    assert float(smooth_l1_sum(torch.tensor(actual), torch.tensor(target), beta)) == pytest.approx(expected)


def leaf(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


NO_INDEX = torch.zeros(0, dtype=torch.int64)


def gradient(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None
    return tensor.grad


@pytest.mark.parametrize("classes", [1, 3])
def test_region_losses_without_samples_are_zero_with_gradients(classes: int) -> None:
    logits, deltas = leaf(0, classes + 1), leaf(0, classes, 4)
    losses = region_losses(logits, deltas, NO_INDEX, torch.zeros(0, 4), 1.0)
    assert [loss.item() for loss in losses] == [0.0, 0.0]
    torch.autograd.backward(losses[0] + losses[1])
    assert gradient(logits).shape == (0, classes + 1)
    assert gradient(deltas).shape == (0, classes, 4)


def test_box_loss_without_foreground_is_zero_with_gradients() -> None:
    logits, deltas = leaf(3, 4), leaf(3, 3, 4)
    label, box = region_losses(logits, deltas, torch.zeros(3, dtype=torch.int64), torch.zeros(3, 4), 1.0)
    assert box.item() == 0.0
    torch.autograd.backward(label + box)
    assert not gradient(deltas).any()
    assert gradient(logits).any()


def test_region_losses_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3), 0.0], [0.0, 0.0, 0.0]])
    deltas = torch.zeros(2, 2, 4)
    deltas[0, 1] = torch.tensor([9.0, 9, 9, 9])  # another class's, of no account
    deltas[1] = 9.0  # background has no place
    target = torch.tensor([[3.0, 0, 0, 0.5], [7, 7, 7, 7]])
    label, box = region_losses(logits, deltas, torch.tensor([1, 0]), target, 1.0)
    assert float(label) == pytest.approx((math.log(5 / 3) + math.log(3)) / 2)
    assert box.item() == pytest.approx((2.5 + 0.125) / 2)  # divided by all samples


def test_region_losses_with_class_agnostic_deltas() -> None:
    shared = leaf(2, 1, 4)
    labels, target = torch.tensor([3, 0]), torch.zeros(2, 4)
    _, box = region_losses(torch.zeros(2, 4), shared, labels, target, 1.0)
    assert box.item() == pytest.approx(smooth_l1_sum(shared[0, 0], target[0], 1.0).item() / 2)


def test_rpn_losses_without_anchors_are_zero_with_gradients() -> None:
    logits, deltas = leaf(6), leaf(6, 4)
    losses = rpn_losses(logits[:0], deltas[:0], torch.zeros(0, 4), torch.zeros(0), 1.0)
    assert [loss.item() for loss in losses] == [0.0, 0.0]
    torch.autograd.backward(losses[0] + losses[1])
    assert not gradient(logits).any()
    assert not gradient(deltas).any()


def test_rpn_losses_by_hand() -> None:
    logits, target = torch.tensor([math.log(3), 0.0, -math.log(3)]), torch.tensor([[3.0, 0, 0, 0]])
    objectness, box = rpn_losses(logits, torch.zeros(1, 4), target, torch.full((3,), 1 / 3), 1.0)
    assert float(objectness) == pytest.approx((math.log(4 / 3) + math.log(2) + math.log(4 / 3)) / 3)
    assert box.item() == pytest.approx(2.5 / 3)
