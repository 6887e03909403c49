"""Runs all convolutions and linear layers of a detector, without the rest: a lower bound of the detector's time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class LayersAlone:
    """Records the calls of layers, and runs the same layers on the same tensors again."""

    def __init__(self, detector: nn.Module) -> None:
        self.detector = detector
        self.recorded_calls: list[tuple[nn.Module, Tensor]] = []

    def record(self, run: Callable[[], object]) -> None:
        """Record the input of each layer while ``run`` runs."""

        def save_input(layer: nn.Module, inputs: tuple[Any, ...], _: object) -> None:
            self.recorded_calls.append((layer, inputs[0].clone(memory_format=torch.preserve_format)))

        kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
        layers = [layer for layer in self.detector.modules() if isinstance(layer, kinds)]
        hooks = [layer.register_forward_hook(save_input) for layer in layers]
        self.recorded_calls.clear()
        run()
        for hook in hooks:
            hook.remove()

    def run(self) -> None:
        """Run each recorded layer again, and drop its output."""
        for layer, features in self.recorded_calls:
            layer(features)
