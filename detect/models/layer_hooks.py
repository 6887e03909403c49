"""Finding the layers of a network by name, and recording their outputs."""

from __future__ import annotations

from torch import Tensor, nn

from detect.errors import UserError, did_you_mean
from detect.models.slots import FeatureNetwork


def stage_names(network: FeatureNetwork) -> list[str]:
    """Return the names of the body's stages, from the pixels up."""
    prefix = next(name for name, part in network.module.named_modules() if part is network.body)
    stages = network.body.get_submodule("stages")
    return [f"{prefix}.stages.{name}" if prefix else f"stages.{name}" for name, _ in stages.named_children()]


def default_layer(network: FeatureNetwork) -> str:
    """Return the name of the body's last stage.

    Where regions are pooled from that stage's map, it is the stage before, if there is one.
    """
    names = stage_names(network)
    return names[-2] if network.pools_last_stage and len(names) > 1 else names[-1]


def find_layer(network: FeatureNetwork, name: str | None) -> tuple[str, nn.Module]:
    """Return a layer by the name that ``detect model summary`` prints; None gives the default layer.

    Raises UserError with the nearest name for an unknown one.
    """
    layer_name = default_layer(network) if name is None else name
    layers = dict(network.module.named_modules())
    if layer_name not in layers:
        raise UserError(
            f"--layer: expected a layer of the network, as `detect model summary` names them, found {layer_name}"
            f"{did_you_mean(layer_name, layers)}"
        )
    return layer_name, layers[layer_name]


class ActivationHook:
    """A context manager that records the outputs of a layer."""

    def __init__(self, network: FeatureNetwork, name: str | None) -> None:
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
