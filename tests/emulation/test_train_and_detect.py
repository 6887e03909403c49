"""Every configuration trains and detects on the emulated CUDA device without a mix of devices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from detect.config import Config
from detect.config.builders.detector import with_tta
from detect.evaluation.predictions import Prediction
from tests.emulation.configurations import (
    ALL_FILES,
    CONFIGURATIONS,
    FEW_REGIONS,
    JOINT,
    MERGED,
    PRECISIONS,
    configured,
    make_batch,
    without_targets,
)
from tests.emulation.emulated_device import EmulatedDevice
from tests.emulation.steps import detect_batch, new_state, train_steps

pytestmark = pytest.mark.slow


def train_and_detect(config: Config, gpu: EmulatedDevice, steps: int, num_proposals: int = 40) -> list[Prediction]:
    batch, state = make_batch(config, 2, num_proposals), new_state(config)
    if config.train.precision == "fp16":  # at the initial scale of 2 ** 16 the first steps overflow and are skipped
        state = replace(state, scaler=torch.amp.GradScaler("cuda", init_scale=64.0))
    before = [weight.detach().clone() for weight in state.detector.parameters()]
    train_steps(config, state, batch, gpu, steps)
    losses = state.progress.take_means()
    assert losses
    assert all(np.isfinite(loss) for loss in losses.values())
    assert any(not torch.equal(*pair) for pair in zip(before, state.detector.parameters(), strict=True))
    return detect_batch(config, with_tta(config, state.eval_model), without_targets(batch), gpu)[0]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration_trains_and_detects(name: str, precision: str, gpu: EmulatedDevice) -> None:
    file, changes = CONFIGURATIONS[name]
    predictions = train_and_detect(configured(file, changes, precision), gpu, 2)
    assert name == "R-CNN" or all(len(prediction.scores) for prediction in predictions)


@pytest.mark.parametrize("file", ALL_FILES)
def test_file_trains_and_detects(file: str, gpu: EmulatedDevice) -> None:
    recipe = JOINT if "zf" in file else ["train.ema_decay=0"]
    assert len(train_and_detect(configured(file, [*recipe, *FEW_REGIONS]), gpu, steps=1, num_proposals=1)) == 2


def test_an_overflow_in_the_first_step_leaves_no_momentum(gpu: EmulatedDevice) -> None:
    config = configured(MERGED, ["train.optimizer=sgd", "train.ema_decay=0"], "fp16")
    state = replace(new_state(config), scaler=torch.amp.GradScaler("cuda", init_scale=2.0**40))
    train_steps(config, state, make_batch(config, 2), gpu, 1)
    buffers = [values["momentum_buffer"] for values in state.optimizer.state.values()]
    assert not any(bool(buffer.any()) for buffer in buffers if buffer is not None)
