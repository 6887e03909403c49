"""The state of a training that changes from step to step, and how it is saved and restored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn.modules.batchnorm import _NormBase

from detect.models.adversaries.adversary import Adversary, AdversaryStep
from detect.models.detector import Detector
from detect.system.distributed import ProcessGroup
from detect.training.optimizer import ModelEMA
from detect.types import Images, MeanLoss, Targets


@dataclass
class TrainingProgress:
    """The counters of a training.

    step: optimizer steps done; best: the best metric so far; validations_without_gain: validations since then;
    loss_sums and num_batches: the sum of each loss, (), and the number of batches since the last row of metrics.csv;
    skipped_steps: steps that fp16's scaler has skipped since the last one that it has not; a resumed run begins at 0.
    """

    step: int = 0
    best: float | None = None
    validations_without_gain: int = 0
    loss_sums: dict[str, Tensor] = field(default_factory=dict)
    num_batches: int = 0
    skipped_steps: int = 0

    def is_exhausted(self, patience: int | None) -> bool:
        """Return whether ``patience`` validations in a row brought no gain; None is never exhausted."""
        return patience is not None and self.validations_without_gain >= patience

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add the losses of a batch, each (); nothing is read from the device."""
        for name, loss in losses.items():
            self.loss_sums[name] = self.loss_sums.get(name, torch.zeros_like(loss)).to(loss.device) + loss.detach()
        self.num_batches += 1

    def take_means(self) -> dict[str, float]:
        """Return the mean losses since the last call and reset the sums."""
        means = {name: float(value) / self.num_batches for name, value in self.loss_sums.items()}
        self.loss_sums, self.num_batches = {}, 0
        return means

    def gather_sums(self, group: ProcessGroup) -> None:
        """Give the main process the sums of all processes, so that it can save them; the others start at zero."""
        if group.size > 1:
            sums = group.sum_by_name({name: float(value) for name, value in self.loss_sums.items()})
            self.loss_sums = {name: torch.tensor(value) for name, value in sums.items()} if group.is_main else {}


@dataclass(frozen=True)
class Statistics:
    """Statistics of normalization layers: pairs of a buffer and its copy."""

    copies: list[tuple[Tensor, Tensor]]

    def restore_unless(self, applied: Tensor) -> None:
        """Restore the copies if ``applied``, bool (), is false; nothing is read from the device."""
        for buffer, saved in self.copies:
            torch.where(applied, buffer, saved, out=buffer)


@dataclass(frozen=True)
class TrainState:
    """The parts that a step changes: the detector, its optimizer, its moving average if any, and fp16's loss scaler.

    adversary: that the detector is trained against, None for none; the optimizer has its weights too.
    """

    detector: Detector
    optimizer: optim.Optimizer
    ema: ModelEMA | None
    scaler: torch.amp.GradScaler
    progress: TrainingProgress
    adversary: Adversary | None = None

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The detector, and the adversary if there is one; the gradients of each are clipped by themselves."""
        return (self.detector,) if self.adversary is None else (self.detector, self.adversary)

    def losses(
        self, images: Images, targets: Sequence[Targets], batch: int, rank: int = 0, size: int = 1
    ) -> dict[str, MeanLoss]:
        """Return the losses of a batch, or of its share in process ``rank`` of ``size``, by name; batch: its number."""
        losses: dict[str, MeanLoss]
        if self.adversary is None:
            losses = self.detector(images, targets)
        else:
            losses = self.detector(images, targets, adversary_step=AdversaryStep(self.adversary, batch, rank, size))
        return losses

    @property
    def eval_model(self) -> Detector:
        """The model that is validated and saved: the moving average if there is one, else the detector."""
        if self.ema is None:
            return self.detector
        model = self.ema.model
        assert isinstance(model, Detector)
        return model

    def bn_statistics(self) -> Statistics:
        """Copy the statistics of the normalization layers in training mode, which a forward pass changes."""
        layers = [layer for layer in self.detector.modules() if isinstance(layer, _NormBase) and layer.training]
        return Statistics([(buffer, buffer.clone()) for layer in layers for buffer in layer.buffers()])

    def rollback(self, statistics: Statistics) -> None:
        """Undo an unfinished step: restore the statistics that ``bn_statistics`` copied and clear the gradients."""
        for buffer, saved in statistics.copies:
            buffer.copy_(saved)
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, besides the settings and the weights of ``eval_model``."""
        progress = self.progress
        return {
            "weights": self.detector.state_dict() if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": progress.best,
            "waited": progress.validations_without_gain,
            "sums": progress.loss_sums,
            "summed": progress.num_batches,
        }

    def restore(
        self,
        weights: dict[str, Tensor],
        step: int,
        training: dict[str, Any],
        adversary: dict[str, Tensor] | None = None,
    ) -> None:
        """Restore the state after ``step`` steps.

        weights: those of ``eval_model``; training: what ``state_dict`` returned; adversary: the weights of an
        adversary.
        """
        self.eval_model.load_state_dict(weights)
        if self.adversary is not None:
            self.adversary.load_state_dict(adversary or {})
        if self.ema is not None:
            self.detector.load_state_dict(training["weights"])
        from_settings = [{key: group[key] for key in group if key != "params"} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(training["optimizer"])
        for group, settings in zip(self.optimizer.param_groups, from_settings, strict=True):
            group.update(settings)  # rates, decay and momentum are those of the settings, which may be others by now
        self.scaler.load_state_dict(training["scaler"])
        progress, device = self.progress, next(self.detector.parameters()).device
        progress.step, progress.best, progress.validations_without_gain = step, training["best"], training["waited"]
        progress.loss_sums = {name: value.to(device) for name, value in training["sums"].items()}
        progress.num_batches = training["summed"]
