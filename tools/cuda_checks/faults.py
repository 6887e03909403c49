"""Part 9: batches without images, too little memory, the loss scaler of fp16 over a resume."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from unittest import mock

import torch

from detect.bench.random_model import make_bench_model
from detect.cli.main import run
from detect.config.files import to_yaml
from detect.training.setup import build_train_state
from tools.cuda_checks.inputs import (
    SMALL_NETWORK,
    empty_batch,
    in_precision,
    make_batch,
    random_images,
    run_steps,
    shapes_config,
)
from tools.cuda_checks.records import Observation, Setup


def batch_without_images(setup: Setup) -> Iterator[Observation]:
    """Run a step of a batch of which no image can be read, before and after a usual one, in every precision."""
    images = random_images(2)
    model = make_bench_model(SMALL_NETWORK, 10, images)
    for precision in setup.precisions:
        config, compute = in_precision(model.config, precision), setup.compute(precision)
        state = build_train_state(config, model.detector().to(compute.device))
        usual = make_batch(model.preprocess, images, 10)
        steps = run_steps(config, state, compute, [empty_batch(), usual, empty_batch()], 3)
        yield Observation(f"{precision}: losses of {len(steps.losses)} kinds after an empty batch", bool(steps.losses))


def loss_scaler(setup: Setup) -> Iterator[Observation]:
    """Save the state of a training in fp16 and restore it: the scale is the same, and it goes on."""
    if "fp16" not in setup.precisions:
        yield Observation("the loss scaler of fp16: not on a CPU")
        return
    images = random_images(2)
    model = make_bench_model(SMALL_NETWORK, 10, images)
    config, compute = in_precision(model.config, "fp16"), setup.compute("fp16")
    states = [build_train_state(config, model.detector().to(compute.device)) for _ in range(2)]
    batch = make_batch(model.preprocess, images, 10)
    run_steps(config, states[0], compute, [batch], 3)
    file = io.BytesIO()
    torch.save((states[0].detector.state_dict(), states[0].state_dict()), file)
    file.seek(0)
    weights, training = torch.load(file, map_location="cpu", weights_only=True)  # as a checkpoint is read
    states[1].restore(weights, states[0].progress.step, training)
    scales = [state.scaler.get_scale() for state in states]
    yield Observation(f"scale saved {scales[0]:g}, restored {scales[1]:g}", scales[0] == scales[1])
    losses = [run_steps(config, state, compute, [batch], 1).losses for state in states]
    difference = max(abs(losses[0][name] - losses[1][name]) / max(1e-6, abs(losses[0][name])) for name in losses[0])
    yield Observation(f"the next losses differ by {difference:.1e} of their size", difference < 1e-2)


def too_little_memory(setup: Setup) -> Iterator[Observation]:
    """Train with a hundredth of the memory of the card: one line says what to lower."""
    if setup.device != "cuda":
        yield Observation("too little memory: not on a CPU")
        return
    folder = setup.work / "memory"
    folder.mkdir()
    changes = ["data.min_size=800", "data.max_size=1200", "train.batch_size=32", "train.steps=2"]
    (folder / "large.yaml").write_text(to_yaml(shapes_config(setup, changes=changes)), encoding="utf-8")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.01)
    try:
        status, text = run_detect("train", "--config", str(folder / "large.yaml"), "--out", str(folder / "run"))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    passed = status == 1 and "train.batch_size" in text and "Traceback" not in text
    yield Observation(f"exit status {status}: {' '.join(text.split())[-300:]}", passed)


def run_detect(*arguments: str) -> tuple[int, str]:
    """Run a command of detect in this process; return its exit status and what it wrote to stderr."""
    errors = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["detect", *arguments]),
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            run()
        except SystemExit as ended:
            return int(ended.code or 0), errors.getvalue()
    raise AssertionError("a command was expected to exit")
