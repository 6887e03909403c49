"""The update of the weights, which the device makes only if every loss and gradient is finite.

A host that reads whether they are waits until a GPU has computed them, and the GPU then waits for the host. So the
device itself decides: where a number is not finite, weights, optimizer, moving average and the statistics of batch
normalization stay as they are. The host reads the decision when it likes, and then handles the bad step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim

from detect.data.loading.collate import Batch
from detect.system.device import Readback
from detect.training.state import Statistics, TrainState


@dataclass(frozen=True)
class Gradients:
    """The gradients of a step, which are in the parameters, and what they come from.

    step: the number of steps before it; batches: the batches of the step; losses: for each of them this process's parts
    of the losses by name, each (), without batches that are empty in every process; loss: the sum of all losses of all
    processes, (), None without batches; statistics: those of batch normalization before the step.
    """

    step: int
    batches: tuple[Batch, ...]
    losses: tuple[dict[str, Tensor], ...]
    loss: Tensor | None
    statistics: Statistics


@dataclass(frozen=True)
class Update:
    """An update of the weights with ``gradients``; ``applied`` reads whether the device has made it.

    norm: that of the gradients, (), None where fp16's scaler judges.
    """

    gradients: Gradients
    applied: Readback
    norm: Tensor | None

    def describe_non_finite(self) -> str:
        """Name the losses or gradients that are not finite, of an update that was not made."""
        if self.norm is None:
            return "losses or gradients that are not"
        for losses in self.gradients.losses:
            if not all(bool(loss.isfinite()) for loss in losses.values()):
                return ", ".join(f"{name} {float(loss):.4g}" for name, loss in losses.items())
        if self.gradients.loss is not None and not self.gradients.loss.isfinite():
            return "the losses of another process"
        return f"gradients with a norm of {float(self.norm):.4g}"


def update_weights(state: TrainState, gradients: Gradients, clip: float) -> Update | None:
    """Step optimizer and moving average, on the device and only if the losses and gradients are finite.

    clip: the largest norm of the gradients, 0 for no limit. Nothing is read from the device, except for RMSProp, which
    has no update that a GPU could leave out. Return None for batches without images, which change no weight.
    """
    update, applied = None, None
    if gradients.loss is not None:
        if state.scaler.is_enabled():
            norm, applied = None, _step_scaled(state, clip)
        else:
            norm = _clip(state, clip)
            applied = torch.stack([gradients.loss, norm]).isfinite().all()
            _step_if(state.optimizer, applied)
        gradients.statistics.restore_unless(applied)
        update = Update(gradients=gradients, applied=Readback(applied), norm=norm)
    if state.ema is not None:
        state.ema.update(state.detector, gradients.step, applied)
    return update


def _clip(state: TrainState, clip: float) -> Tensor:
    """Scale the gradients down to a norm of ``clip``, 0 for no limit; return their norm before, ().

    An adversary's are scaled by themselves: they do not change the detector's. The norm is that of the longer of both.
    """
    device, norms = next(state.detector.parameters()).device, []
    for module in state.modules:
        parameters = list(module.parameters())
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if clip:
            nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        norms.append(norm.to(device))  # of no gradients it is on the CPU
    return norms[0] if len(norms) == 1 else torch.stack(norms).max()


def _step_if(optimizer: optim.Optimizer, finite: Tensor) -> None:
    """Step the optimizer if ``finite``, bool (), is true."""
    if optimizer.defaults.get("fused"):  # its kernel reads found_inf on the device
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimizer.step()
        del optimizer.found_inf  # type: ignore[attr-defined]
    elif finite:
        optimizer.step()


def _step_scaled(state: TrainState, clip: float) -> Tensor:
    """Step the optimizer by fp16's loss scaler, which lowers its scale where it skips the step; return whether not."""
    scaler, unit = state.scaler, torch.ones((), device=next(state.detector.parameters()).device)
    scale = scaler.scale(unit)  # 1 times the scale: get_scale would read it from the device
    if clip:
        scaler.unscale_(state.optimizer)
        _clip(state, clip)
    scaler.step(state.optimizer)
    scaler.update()
    return scaler.scale(unit) >= scale
