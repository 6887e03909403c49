"""The methods of the package pytorch-grad-cam on our detectors: the same weights, layer and target."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detect.explain.attribution.methods import Explain
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.perturbation import PIXELS_PER_BATCH
from detect.explain.attribution.target import AttributionTarget
from detect.models.layer_hooks import find_layer, stage_names

PREFIX = "pytorch-grad-cam "  # of a method's name in a table, before that of its class


class _ObjectiveModule(nn.Module):
    """An attribution target as a module, which the package expects: pixels (N, 3, H, W) -> objective (N, D).

    by_class: the index of a detection of which to return the logits (N, K + 1) instead.
    """

    def __init__(self, target: AttributionTarget, by_class: int | None = None) -> None:
        super().__init__()
        self.network = target.network.module
        self._target = target
        self._by_class = by_class

    def forward(self, pixels: Tensor) -> Tensor:
        size, expected = tuple(pixels.shape[2:]), tuple(self._target.pixels.shape[2:])
        if size != expected:  # the proposal would lie elsewhere
            raise ValueError(f"expected pixels {expected}, in which the proposal lies, found {size}")
        if self._by_class is None:
            return self._target.objective(pixels)
        return self._target.forward(pixels)[0][:, self._by_class]


def grad_cam_version() -> str | None:
    """Return the version of pytorch-grad-cam, None where it is not installed."""
    if importlib.util.find_spec("pytorch_grad_cam") is None:
        return None
    from importlib.metadata import version

    return version("grad-cam")


def peer_methods(names: Sequence[str] | None = None) -> dict[str, Explain]:
    """Return the classes ``names`` of the package by their names in a table, None for all; {} without the package.

    Which of them run on a detector shows when they are called: each raises an exception of its own where it does not.
    """
    classes = peer_classes()
    return {f"{PREFIX}{name}": _peer_method(classes[name]) for name in (classes if names is None else names)}


def peer_classes() -> dict[str, Any]:
    """Return every class of the package that explains by a layer, by its name; {} without the package."""
    if grad_cam_version() is None:
        return {}
    package = vars(importlib.import_module("pytorch_grad_cam"))
    return {name: package[name] for name in sorted(package) if _explains(package[name])}


def _explains(member: object) -> bool:
    """Return whether this is a class made of a model and its layers that explains with targets."""
    if not inspect.isclass(member) or not hasattr(member, "forward"):
        return False
    made_of = list(inspect.signature(member).parameters)[:2]
    return made_of == ["model", "target_layers"] and "targets" in inspect.signature(member.forward).parameters


def _peer_method(method_class: Any) -> Explain:
    """Return a class of the package as one of our methods; its maps are scaled to 0..1 and to the pixels' size."""
    by_class = "target_idx" in inspect.signature(method_class.forward).parameters  # FinerCAM compares the classes
    several = not hasattr(method_class, "__enter__")  # RefineCAM multiplies the maps of several layers

    def explain(target: AttributionTarget, options: MethodOptions) -> Tensor:
        name, layer = find_layer(target.network, options.layer)
        maps: list[Tensor] = []
        with _left_as_it_was(target.network.module, name, options.seed):
            for index, detection in enumerate(target.detections):
                model = _ObjectiveModule(target, index if by_class else None)
                cam = method_class(model=model, target_layers=_stages_up_to(target, name) if several else [layer])
                with nullcontext() if several else cam:
                    cam.batch_size = max(1, PIXELS_PER_BATCH // target.pixels[0, 0].numel())
                    pixels = target.pixels.detach().requires_grad_()  # the weights of a loaded detector require none
                    if by_class:
                        heatmap = cam(input_tensor=pixels, targets=None, target_idx=detection.label)
                    else:
                        heatmap = cam(input_tensor=pixels, targets=[lambda output, index=index: output[index]])
                    maps.append(torch.from_numpy(np.asarray(heatmap, np.float32)))
        if len(maps) < len(target.detections):  # its context manager swallows every IndexError
            raise ValueError("it raised IndexError")
        return torch.stack(maps).to(target.pixels.device)

    return explain


def _stages_up_to(target: AttributionTarget, name: str) -> list[nn.Module]:
    """Return the stages of the body up to the layer ``name``, from the pixels up; ValueError where it is no stage."""
    stages = stage_names(target.network)
    return [target.network.module.get_submodule(stage) for stage in stages[: stages.index(name) + 1]]


@contextmanager
def _left_as_it_was(network: nn.Module, name: str, seed: int) -> Iterator[None]:
    """Silence the package, seed numpy for it, and put back the layer that AblationCAM replaces, and numpy's state."""
    parent, leaf = network.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
    layer, numpy_state = network.get_submodule(name), np.random.get_state()  # RandomCAM draws from it
    np.random.seed(seed)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        np.random.set_state(numpy_state)
        setattr(parent, leaf, layer)
