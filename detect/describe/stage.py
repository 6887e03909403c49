"""A stage that trains a network step by step, and goes on after a kill with the same bits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn, optim

from detect.errors import RunError
from detect.system import randomness
from detect.system.checksums import load_only_with_checksum, save_with_checksum
from detect.system.progress import show_progress
from detect.training.optimizer import Schedule
from detect.training.run_folder import RunFolder


@dataclass(frozen=True)
class Stage:
    """A stage of the recipe.

    name: of its files and columns; networks: those that it trains, by name; loss: that of a step, (); steps: how many;
    steps_before: those of earlier stages, by which metrics.csv counts; clip: the largest absolute gradient of a weight.
    """

    name: str
    networks: dict[str, nn.Module]
    optimizer: optim.Optimizer
    loss: Callable[[int], Tensor]
    steps: int
    steps_before: int
    clip: float
    seed: int
    log_every: int
    checkpoint_every: int


def stage_file(folder: RunFolder, name: str) -> Path:
    """Return the file with the networks of a stage that is done."""
    return folder.path / f"{name}.pt"


def run_stage(stage: Stage, folder: RunFolder, console: Console) -> None:
    """Train to the last step, from the checkpoint of a killed run if there is one, and write the file of the stage.

    Where that file is there, the networks are loaded from it. Random draws come from the seed, the stage and the step.
    Raises UserError for a damaged file, RunError for a loss that is not finite.
    """
    finished, checkpoint = stage_file(folder, stage.name), folder.path / f"{stage.name}.unfinished.pt"
    if finished.is_file():
        _load_networks(stage, load_only_with_checksum(finished, "the networks of a stage"))
        return
    step, losses = 0, torch.zeros(2, dtype=torch.float64)  # the sum and the number since the last row
    if checkpoint.is_file():
        state = load_only_with_checksum(checkpoint, "the checkpoint of a stage")
        step, losses = state["step"], state["losses"]
        _load_networks(stage, state["networks"])
        stage.optimizer.load_state_dict(state["optimizer"])
    folder.truncate_after(stage.steps_before + step)
    _set_training(stage, True)
    with show_progress(console, stage.name, stage.steps, "steps") as progress:
        if step:
            progress.start_at(step)
        started = time.perf_counter()
        while step < stage.steps:
            losses += torch.tensor([_train_step(stage, step), 1.0], dtype=torch.float64)
            step += 1
            row = None
            if step % stage.log_every == 0 or step == stage.steps:
                mean = float(losses[0] / losses[1])
                losses.zero_()
                folder.add_metrics(
                    {"step": stage.steps_before + step, f"{stage.name}_loss": mean, "lr": _rate(stage, step - 1)}
                )
                row = f"{stage.name} step {step}/{stage.steps} loss {mean:.4f}"
                folder.log(f"{row}; {time.perf_counter() - started:.1f} s")
            progress.advance(1, row or "", row)
            if step % stage.checkpoint_every == 0 and step < stage.steps:
                save_with_checksum(checkpoint, _state(stage, step, losses))
    _set_training(stage, False)
    save_with_checksum(finished, _network_states(stage))
    checkpoint.unlink(missing_ok=True)


def _train_step(stage: Stage, step: int) -> float:
    """Update the weights once and return the loss."""
    torch.manual_seed(randomness.hash_key(stage.seed, "describe", stage.name, step))  # dropout
    for group in stage.optimizer.param_groups:
        group["lr"] = _rate(stage, step)
    stage.optimizer.zero_grad(set_to_none=True)
    loss = stage.loss(step)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise RunError(f"{stage.name}: expected a finite loss, found {value} at step {step + 1}; lower {stage.name}.lr")
    loss.backward()  # type: ignore[no-untyped-call]
    weights = [weight for group in stage.optimizer.param_groups for weight in group["params"]]
    nn.utils.clip_grad_value_(weights, stage.clip)
    stage.optimizer.step()
    return value


def _rate(stage: Stage, step: int) -> float:
    peak: float = stage.optimizer.defaults["lr"]
    return peak * Schedule(shape="cosine", steps=stage.steps).factor(step)


def _state(stage: Stage, step: int, losses: Tensor) -> dict[str, Any]:
    return {
        "step": step,
        "losses": losses,
        "networks": _network_states(stage),
        "optimizer": stage.optimizer.state_dict(),
    }


def _network_states(stage: Stage) -> dict[str, Any]:
    return {name: network.state_dict() for name, network in stage.networks.items()}


def _load_networks(stage: Stage, states: dict[str, Any]) -> None:
    for name, network in stage.networks.items():
        network.load_state_dict(states[name])


def _set_training(stage: Stage, training: bool) -> None:
    for network in stage.networks.values():
        network.train(training)
