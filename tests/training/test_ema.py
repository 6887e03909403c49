from __future__ import annotations

import pytest
import torch
from torch import nn

from detect.training.optimizer import ModelEMA


def model(value: float) -> nn.Module:
    layer = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm2d(1))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(value)
    return layer


@pytest.mark.parametrize(
    ("decay", "step", "fraction"),
    [(0.0, 0, 0.0), (0.9, 0, 0.1), (0.9, 5, 0.4), (0.9, 90, 0.9), (0.9, 10**6, 0.9), (0.05, 0, 0.05)],
)
def test_ema_decay_rises_to_its_limit(decay: float, step: int, fraction: float) -> None:
    average = ModelEMA(model(10.0), decay)
    average.update(model(20.0), step)
    for parameter in average.model.parameters():
        assert parameter.flatten().tolist() == pytest.approx([20.0 - 10.0 * fraction])


def test_ema_of_several_updates_is_a_weighted_mean() -> None:
    average, expected = ModelEMA(model(0.0), 0.5), 0.0
    for step, value in enumerate([1.0, 5.0, -2.0]):
        average.update(model(value), step)
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * value
    assert next(average.model.parameters()).item() == pytest.approx(expected)


def test_ema_copies_buffers_and_owns_its_model() -> None:
    followed = model(1.0)
    average = ModelEMA(followed, 0.9)
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert all(parameter.requires_grad for parameter in followed.parameters())
    statistics, average_buffers = (dict(each.named_buffers()) for each in (followed, average.model))
    statistics["1.running_mean"].fill_(3.0)
    statistics["1.num_batches_tracked"].fill_(4)
    assert average_buffers["1.running_mean"].item() == 0.0
    average.update(followed, 0)
    assert average_buffers["1.running_mean"].item() == 3.0
    assert average_buffers["1.num_batches_tracked"].item() == 4
