"""An update that is not finite leaves everything as it is, without a look at the device."""

from __future__ import annotations

import copy
import re
from typing import Any, cast

import pytest
import torch
from torch import nn

from detect.models.detector import Detector
from detect.training.optimizer import ModelEMA, OptimizerName, build_optimizer
from detect.training.state import TrainingProgress, TrainState
from detect.training.update import Gradients, Update, update_weights

NAN = float("nan")


def make_state(optimizer: OptimizerName) -> TrainState:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    frozen = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)).eval()
    detector = nn.ModuleDict({"network": network, "frozen": frozen})
    groups: list[dict[str, object]] = [{"params": list(network.parameters()), "lr": 0.1, "weight_decay": 0.1}]
    return TrainState(
        detector=cast(Detector, detector),
        optimizer=build_optimizer(optimizer, groups, momentum=0.9),
        ema=ModelEMA(detector, 0.9),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        progress=TrainingProgress(),
    )


def run_step(state: TrainState, loss_factor: float, gradient_factor: float = 1.0, clip: float = 0.0) -> Update:
    statistics = state.bn_statistics()
    state.optimizer.zero_grad()
    network = cast(Any, state.detector)["network"]
    loss = network(torch.arange(24.0).view(2, 3, 2, 2)).square().sum() * loss_factor
    loss.register_hook(lambda gradient: gradient * gradient_factor)
    loss.backward()
    gradients = Gradients(step=0, batches=(), losses=({"a": loss.detach()},), loss=loss.detach(), statistics=statistics)
    update = update_weights(state, gradients, clip)
    assert update is not None
    return update


def contents(state: TrainState) -> Any:
    assert state.ema is not None
    models = (state.detector.state_dict(), state.ema.model.state_dict())
    return copy.deepcopy((models, state.optimizer.state_dict()["state"]))


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("factors", [(NAN, 1.0), (float("inf"), 1.0), (1.0, NAN), (1.0, float("inf"))])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
def test_update_that_is_not_finite_changes_nothing(
    optimizer: OptimizerName, factors: tuple[float, float], clip: float
) -> None:
    state = make_state(optimizer)
    assert run_step(state, 1.0).applied.read()
    before = contents(state)
    update = run_step(state, *factors, clip)
    assert not update.applied.read()
    torch.testing.assert_close(contents(state), before, rtol=0, atol=0)
    kind = "a (nan|inf)" if factors[0] != 1.0 else "gradients with a norm of (nan|inf)"
    assert re.fullmatch(kind, update.describe_non_finite())
    assert run_step(state, 1.0, clip=clip).applied.read()
    assert not torch.equal(contents(state)[0][0]["network.0.weight"], before[0][0]["network.0.weight"])


def test_update_without_images_moves_the_average_alone() -> None:
    state = make_state("sgd")
    run_step(state, 1.0)
    before = contents(state)
    assert update_weights(state, Gradients(1, (), (), None, state.bn_statistics()), 0.0) is None
    assert torch.equal(contents(state)[0][0]["network.0.weight"], before[0][0]["network.0.weight"])
    assert not torch.equal(contents(state)[0][1]["network.0.weight"], before[0][1]["network.0.weight"])


def test_statistics_of_norms_in_training_mode_alone_are_copied() -> None:
    state = make_state("sgd")
    assert len(state.bn_statistics().copies) == 3  # mean, variance and count
    state.detector.eval()
    assert state.bn_statistics().copies == []
