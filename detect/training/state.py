"""What changes while a run goes on, and how it is saved and brought back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, optim

from detect.models.detector import Detector
from detect.system.distributed import Group
from detect.training.optimizer import MovingAverage


@dataclass
class Progress:
    """step: steps of the optimiser done; best: the best metric yet; waited: validations since then; sums and summed:
    the losses since the last row of metrics.csv.
    """

    step: int = 0
    best: float | None = None
    waited: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    summed: int = 0

    def add(self, losses: dict[str, Tensor]) -> None:
        """Count a batch's losses; nothing is read from the device."""
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(loss)).to(loss.device) + loss.detach()
        self.summed += 1

    def take_means(self) -> dict[str, float]:
        """Mean losses since the last call."""
        means = {name: float(value) / self.summed for name, value in self.sums.items()}
        self.sums, self.summed = {}, 0
        return means

    def pool(self, group: Group) -> None:
        """Let the leader have the sums of all processes, so that what it saves is whole; the others begin anew."""
        if group.size > 1:
            sums = group.total({name: float(value) for name, value in self.sums.items()})
            self.sums = {name: torch.tensor(value) for name, value in sums.items()} if group.leads else {}


@dataclass(frozen=True)
class Learner:
    """The parts that learn: the detector, its optimiser, its moving average if any, and fp16's loss scaler."""

    detector: Detector
    optimizer: optim.Optimizer
    average: MovingAverage | None
    scaler: torch.amp.GradScaler
    progress: Progress

    @property
    def evaluated(self) -> Detector:
        """The weights that are validated and kept: the average's where there is one."""
        if self.average is None:
            return self.detector
        model = self.average.model
        assert isinstance(model, Detector)
        return model

    def statistics(self) -> list[Tensor]:
        """Copies of what a forward pass in training changes: the statistics of batch normalisation."""
        return [buffer.clone() for buffer in self.detector.buffers()]

    def undo(self, statistics: list[Tensor]) -> None:
        """A step that was not finished: the statistics as they were, no gradients."""
        for buffer, before in zip(self.detector.buffers(), statistics, strict=True):
            buffer.copy_(before)
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on beside the settings and the step's own keys."""
        progress = self.progress
        return {
            "weights": self.detector.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": progress.best,
            "waited": progress.waited,
            "sums": progress.sums,
            "summed": progress.summed,
        }

    def restore(self, weights: dict[str, Tensor], step: int, state: dict[str, Any]) -> None:
        """The inverse: ``weights`` are those of ``evaluated``."""
        self.evaluated.load_state_dict(weights)
        if self.average is not None:
            self.detector.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        progress, device = self.progress, next(self.detector.parameters()).device
        progress.step, progress.best, progress.waited = step, state["best"], state["waited"]
        progress.sums = {name: value.to(device) for name, value in state["sums"].items()}
        progress.summed = state["summed"]
