from __future__ import annotations

import torch
from torch import nn

from detect.config.builders.detector import build_detector
from detect.config.files import parse_config
from detect.training.setup import build_train_state
from tests.conftest import TINY


def test_build_train_state_fp16_scales_gradients_of_a_process_without_images() -> None:
    settings = {**TINY, "train": {**TINY["train"], "precision": "fp16"}}  # type: ignore[dict-item]
    config = parse_config(settings, "tiny")
    state = build_train_state(config, build_detector(config, ("a",))[0])
    parameter: nn.Parameter = state.optimizer.param_groups[0]["params"][0]
    parameter.grad = torch.full_like(parameter, state.scaler.get_scale())  # what the other processes' gradients sum to
    state.scaler.unscale_(state.optimizer)
    assert torch.equal(parameter.grad, torch.ones_like(parameter))
