from __future__ import annotations

import pytest
import torch
from torch import nn

from detect.config.builders.detector import build_detector
from detect.config.files import parse_config, with_overrides
from detect.training.setup import build_train_state
from tests.conftest import TINY


def rates(*overrides: str) -> tuple[dict[str, float], list[list[str]]]:
    """Return the learning rate of each parameter over train.lr, and the names of the parameters of each group."""
    config = with_overrides(parse_config(TINY, "tiny"), overrides)
    state = build_train_state(config, build_detector(config, ("a",))[0])
    names = {id(parameter): name for name, parameter in state.detector.named_parameters()}
    groups = [[names[id(parameter)] for parameter in group["params"]] for group in state.optimizer.param_groups]
    peaks = [group["peak"] / config.train.lr for group in state.optimizer.param_groups]
    return {name: peak for peak, group in zip(peaks, groups, strict=True) for name in group}, groups


def test_build_train_state_groups_parameters_by_weight_decay() -> None:
    """The optimizer states of earlier runs have these groups in this order."""
    config = parse_config(TINY, "tiny")
    detector = build_detector(config, ("a",))[0]
    decayed = [name for name, parameter in detector.named_parameters() if parameter.dim() > 1]
    others = [name for name, parameter in detector.named_parameters() if parameter.dim() == 1]
    by_name, groups = rates()
    assert groups == [decayed, others]
    assert set(by_name.values()) == {1.0}


@pytest.mark.parametrize(
    ("part", "prefix"),
    [
        ("backbone", "backbone.body."),
        ("proposer", "proposer."),
        ("objectness", "proposer.head.objectness."),
        ("head", "head."),
        ("classifier", "head.logits."),
        ("box_regressor", "head.deltas."),
    ],
)
def test_build_train_state_multiplies_the_rate_of_a_part(part: str, prefix: str) -> None:
    by_name, _ = rates(f"train.lr_factors.{part}=10", "train.lr_factors.bias=2")
    assert any(name.startswith(prefix) for name in by_name)
    detector = build_detector(parse_config(TINY, "tiny"), ("a",))[0]
    for name, rate in by_name.items():
        module = detector.get_submodule(name.rpartition(".")[0])
        is_bias = name.endswith(".bias") and isinstance(module, nn.Conv2d | nn.Linear)
        assert rate == pytest.approx((10 if name.startswith(prefix) else 1) * (2 if is_bias else 1)), name


def test_build_train_state_fp16_scales_gradients_of_a_process_without_images() -> None:
    settings = {**TINY, "train": {**TINY["train"], "precision": "fp16"}}  # type: ignore[dict-item]
    config = parse_config(settings, "tiny")
    state = build_train_state(config, build_detector(config, ("a",))[0])
    parameter: nn.Parameter = state.optimizer.param_groups[0]["params"][0]
    parameter.grad = torch.full_like(parameter, state.scaler.get_scale())  # what the other processes' gradients sum to
    state.scaler.unscale_(state.optimizer)
    assert torch.equal(parameter.grad, torch.ones_like(parameter))
