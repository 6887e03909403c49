"""All convolutions and linear layers of a detector and nothing else: the time that no detector with them can beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class LayersAlone:
    """The layers that ran while it was watching, on the very tensors that they got."""

    def __init__(self, detector: nn.Module) -> None:
        self.detector = detector
        self.recorded_calls: list[tuple[nn.Module, Tensor]] = []

    def record(self, run: Callable[[], object]) -> None:
        """Keep what each layer gets while ``run`` runs."""

        def note(layer: nn.Module, inputs: tuple[Any, ...], _: object) -> None:
            self.recorded_calls.append((layer, inputs[0].clone(memory_format=torch.preserve_format)))

        layers = [layer for layer in self.detector.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        hooks = [layer.register_forward_hook(note) for layer in layers]
        self.recorded_calls.clear()
        run()
        for hook in hooks:
            hook.remove()

    def run(self) -> None:
        """Each layer again, its output dropped."""
        for layer, features in self.recorded_calls:
            layer(features)
