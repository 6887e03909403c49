"""Layers of a network by name, and what they answer."""

from __future__ import annotations

from torch import Tensor, nn

from detect.errors import UserError, nearest
from detect.models.backbones.network import Body


def stage_names(network: nn.Module) -> list[str]:
    """The stages of the network's body, from the pixels up."""
    for name, part in network.named_modules():
        if isinstance(part, Body):
            return [f"{name}.stages.{place}" if name else f"stages.{place}" for place in range(len(part.stages))]
    raise TypeError(f"expected a network with a body, found {type(network).__name__}")


def usual_layer(network: nn.Module) -> str:
    """The body's last stage; the one before it where the last one's map is what regions are pooled from."""
    names = stage_names(network)
    return names[-2] if isinstance(network, Body) and len(names) > 1 else names[-1]


def find_layer(network: nn.Module, name: str | None) -> tuple[str, nn.Module]:
    """A layer by the name that ``detect model summary`` prints; UserError with the nearest one."""
    wanted = usual_layer(network) if name is None else name
    layers = dict(network.named_modules())
    if wanted not in layers:
        raise UserError(
            f"--layer: expected a layer of the network, as `detect model summary` names them, found {wanted}"
            f"{nearest(wanted, layers)}"
        )
    return wanted, layers[wanted]


class Kept:
    """While it is open, what a layer answers is kept."""

    def __init__(self, network: nn.Module, name: str | None) -> None:
        self.name, layer = find_layer(network, name)
        self._answers: list[object] = []
        self._hook = layer.register_forward_hook(self._keep)

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def maps(self) -> Tensor:
        """(1, C, h, w); UserError for a layer that answers with something else, or with nothing."""
        answer = self._answers[-1] if self._answers else None
        if not isinstance(answer, Tensor) or answer.dim() != 4:
            found = "none" if answer is None else type(answer).__name__
            raise UserError(f"--layer {self.name}: expected a layer that answers with one set of maps, found {found}")
        return answer

    def _keep(self, _: nn.Module, __: object, answer: object) -> object:
        self._answers.append(answer)
        return answer.clone() if isinstance(answer, Tensor) else None  # the next layer may work in place
