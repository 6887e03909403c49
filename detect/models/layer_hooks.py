"""Finding the layers of a network by name, and recording their outputs."""

from __future__ import annotations

from torch import Tensor, nn

from detect.errors import UserError, did_you_mean
from detect.models.backbones.network import StagedBody


def stage_names(network: nn.Module) -> list[str]:
    """Return the names of the body's stages, from the pixels up."""
    for name, part in network.named_modules():
        if isinstance(part, StagedBody):
            return [f"{name}.stages.{index}" if name else f"stages.{index}" for index in range(len(part.stages))]
    raise TypeError(f"expected a network with a body, found {type(network).__name__}")


def default_layer(network: nn.Module) -> str:
    """Return the name of the body's last stage.

    Of a bare body it is the stage before, where there is one: regions are pooled from the last one's map.
    """
    names = stage_names(network)
    return names[-2] if isinstance(network, StagedBody) and len(names) > 1 else names[-1]


def find_layer(network: nn.Module, name: str | None) -> tuple[str, nn.Module]:
    """Return a layer by the name that ``detect model summary`` prints; None gives the default layer.

    Raises UserError with the nearest name for an unknown one.
    """
    layer_name = default_layer(network) if name is None else name
    layers = dict(network.named_modules())
    if layer_name not in layers:
        raise UserError(
            f"--layer: expected a layer of the network, as `detect model summary` names them, found {layer_name}"
            f"{did_you_mean(layer_name, layers)}"
        )
    return layer_name, layers[layer_name]


class ActivationHook:
    """A context manager that records the outputs of a layer."""

    def __init__(self, network: nn.Module, name: str | None) -> None:
        self.name, layer = find_layer(network, name)
        self._outputs: list[object] = []
        self._hook = layer.register_forward_hook(self._save_output)

    def __enter__(self) -> ActivationHook:
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def maps(self) -> Tensor:
        """Return the layer's last output (1, C, h, w); UserError where it is something else, or where there is none."""
        output = self._outputs[-1] if self._outputs else None
        if not isinstance(output, Tensor) or output.dim() != 4:
            kind = "none" if output is None else type(output).__name__
            raise UserError(f"--layer {self.name}: expected a layer whose output is one set of maps, found {kind}")
        return output

    def _save_output(self, _: nn.Module, __: object, output: object) -> object:
        self._outputs.append(output)
        return output.clone() if isinstance(output, Tensor) else None  # the next layer may work in place
