from __future__ import annotations

import pytest
import torch
from torch import nn

from detect.training.optimizer import OptimizerName, Schedule, build_optimizer, parameter_groups, set_learning_rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("constant", 1), {0: 1.0}),
        (Schedule("constant", 10), {0: 1.0, 5: 1.0, 9: 1.0}),
        (Schedule("constant", 10, warmup=0.4), {0: 0.001, 1: 0.25075, 2: 0.5005, 4: 1.0, 9: 1.0}),
        (Schedule("constant", 10, warmup=0.01), {0: 1.0}),  # less than a step is none
        (Schedule("step", 7, milestones=(5 / 7,)), {0: 1.0, 4: 1.0, 5: 0.1, 6: 0.1}),
        (Schedule("step", 10, milestones=(0.5, 0.8), gamma=0.5), {4: 1.0, 5: 0.5, 7: 0.5, 8: 0.25}),
        (Schedule("step", 10, milestones=()), {0: 1.0, 9: 1.0}),
        (Schedule("step", 10, warmup=0.2, milestones=(0.1,)), {0: 0.001, 1: 0.05005, 2: 0.1}),
        (Schedule("cosine", 4), {0: 1.0, 1: 0.853553, 2: 0.5, 3: 0.146447}),
        (Schedule("cosine", 4, warmup=0.5), {0: 0.001, 1: 0.5005 * 0.853553, 2: 0.5}),
    ],
)
def test_schedule_factor_equals_values_by_hand(schedule: Schedule, expected: dict[int, float]) -> None:
    assert {step: schedule.factor(step) for step in expected} == pytest.approx(expected, abs=1e-6)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1).requires_grad_(False))
        self.head = nn.Linear(4, 2)


def test_parameter_groups_separate_body_and_weight_decay() -> None:
    model = Model()
    groups = parameter_groups(model, lr=0.5, weight_decay=0.01, module_factors=[(model.body, 0.1)])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    names_by_group = {}
    for group in groups:
        assert isinstance(group["params"], list)
        assert group["lr"] == group["peak"]
        names_by_group[group["lr"], group["weight_decay"]] = [names[id(parameter)] for parameter in group["params"]]
    assert names_by_group == {
        (0.05, 0.01): ["body.0.weight"],
        (0.05, 0.0): ["body.0.bias", "body.1.weight", "body.1.bias"],
        (0.5, 0.01): ["head.weight"],
        (0.5, 0.0): ["head.bias"],
    }


def test_parameter_groups_multiply_the_factors_of_parts_and_biases() -> None:
    model = Model()
    groups = parameter_groups(model, 0.5, 0.01, [(model.body, 0.5), (model.body[0], 3.0)], 2.0, decay_biases=True)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates: dict[str, tuple[object, object]] = {}
    for group in groups:
        assert isinstance(group["params"], list)
        rates |= {names[id(parameter)]: (group["lr"], group["weight_decay"]) for parameter in group["params"]}
    assert rates == {
        "body.0.weight": (0.75, 0.01),
        "body.0.bias": (1.5, 0.01),
        "body.1.weight": (0.25, 0.0),  # a normalization layer
        "body.1.bias": (0.25, 0.0),
        "head.weight": (0.5, 0.01),
        "head.bias": (1.0, 0.01),
    }


def test_parameter_groups_with_one_rate_is_one_group() -> None:
    model = Model()
    (group,) = parameter_groups(model, lr=0.5, weight_decay=0.0)
    assert isinstance(group["params"], list)
    assert len(group["params"]) == 6


@pytest.mark.parametrize(
    ("method", "kind"), [("sgd", torch.optim.SGD), ("rmsprop", torch.optim.RMSprop), ("adamw", torch.optim.AdamW)]
)
def test_optimizer_updates_weights_at_the_set_rate(method: OptimizerName, kind: type) -> None:
    model = Model()
    optimizer = build_optimizer(method, parameter_groups(model, 0.5, 0.0, [(model.body, 0.1)]), momentum=0.9)
    assert isinstance(optimizer, kind)
    assert set_learning_rate(optimizer, 0.2) == pytest.approx(0.1)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.01, 0.1])
    before = model.head.weight.clone()
    model.head(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.head.weight, before)
    after = model.head.weight.clone()
    set_learning_rate(optimizer, 0.0)
    optimizer.step()
    assert torch.equal(model.head.weight, after)


def test_sgd_has_momentum_and_weight_decay() -> None:
    model = Model()
    optimizer = build_optimizer("sgd", parameter_groups(model, 0.5, 0.01), momentum=0.9)
    assert [(group["momentum"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.9, 0.01), (0.9, 0.0)]


def test_sgd_after_a_skipped_first_step_starts_from_zero_momentum() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = build_optimizer("sgd", [{"params": [weight], "peak": 0.5}], momentum=0.9)
    assert optimizer.state[weight]["momentum_buffer"].tolist() == [0.0, 0.0, 0.0]
    set_learning_rate(optimizer, 1.0)
    for expected in (0.5, -0.45):  # the first step moves by lr * gradient, the second by lr * (1 + 0.9) * gradient
        weight.grad = torch.ones(3)
        optimizer.step()
        assert weight.tolist() == pytest.approx([expected] * 3)
