"""Explanations by a layer's activation maps: coarse, in the cells of that layer.

Gradients reach the map that regions are pooled from only inside a detection's region, and no gradient goes through the
proposals; so the usual layer is the body's last one that lies below that map, where the network leaves a choice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detect.backbones.network import Body
from detect.errors import UserError, nearest
from detect.explain.choice import Choice
from detect.explain.pinned import View


def gradcam(view: View, choice: Choice) -> Tensor:
    """Channels weighed by their mean gradient (Selvaraju et al. 2017, arXiv:1610.02391): (D, 1, h, w)."""
    maps, gradients = _maps_and_gradients(view, choice)
    weights = gradients.mean((2, 3), keepdim=True)
    return _counted(view, (weights * maps).sum(1, keepdim=True))


def hirescam(view: View, choice: Choice) -> Tensor:
    """Every cell weighed by its own gradient, summed over channels: (D, 1, h, w).

    Draelos and Carin 2020 (arXiv:2011.08891); without its smoothing also what Zhao and Chan 2023 (ODAM) found for
    detectors: a mean gradient says nothing about where, so that Grad-CAM lights up other objects of the class.
    """
    maps, gradients = _maps_and_gradients(view, choice)
    return _counted(view, (gradients * maps).sum(1, keepdim=True))


@torch.no_grad()
def eigencam(view: View, choice: Choice) -> Tensor:
    """The first principal component of the maps (Muhammad and Yeasin 2020, arXiv:2008.00299): (D, 1, h, w).

    It asks about no detection: all of a picture get the same map.
    """
    with _Kept(view, choice) as kept:
        view.evidence(view.pixels)
    maps = kept.maps()
    channels, height, width = maps.shape[1:]
    cells = maps[0].float().reshape(channels, -1).T
    centred = cells - cells.mean(0)
    component = torch.linalg.svd(centred, full_matrices=False).Vh[0]
    projected: Tensor = centred @ component
    projected = projected * torch.sign(projected @ cells.sum(1))  # its sign is free: more activity is positive
    return projected.clamp(min=0).view(1, 1, height, width).repeat(len(view.pinned), 1, 1, 1)


def usual_layer(network: nn.Module) -> str:
    """The body's last stage; the one before it where the last one's map is what regions are pooled from."""
    for name, part in network.named_modules():
        if isinstance(part, Body):
            pooled = part is network and len(part.stages) > 1
            place = len(part.stages) - (2 if pooled else 1)
            return f"{name}.stages.{place}" if name else f"stages.{place}"
    raise UserError("--layer: expected the name of a layer for a network without stages, found none")


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


def _maps_and_gradients(view: View, choice: Choice) -> tuple[Tensor, Tensor]:
    """Of a layer: maps (1, C, h, w), and of each detection's evidence the gradients (D, C, h, w)."""
    pixels = view.pixels.detach().requires_grad_()  # frozen layers alone would leave no graph
    with _Kept(view, choice) as kept:
        evidence = view.evidence(pixels)[0]
    maps = kept.maps()
    found = [torch.autograd.grad(one, maps, retain_graph=True, allow_unused=True)[0] for one in evidence]
    gradients = [one for one in found if one is not None]
    if len(gradients) < len(found):
        raise UserError(f"--layer: expected a layer that the detection depends on, found {kept.name}")
    return maps.detach(), torch.cat(gradients)


class _Kept:
    """While it is open, what a layer answers is kept."""

    def __init__(self, view: View, choice: Choice) -> None:
        self.name, layer = find_layer(view.network, choice.layer)
        self._answers: list[object] = []
        self._hook = layer.register_forward_hook(self._keep)

    def __enter__(self) -> _Kept:
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

    def _keep(self, layer: nn.Module, inputs: object, answer: object) -> object:  # noqa: ARG002
        self._answers.append(answer)
        return answer.clone() if isinstance(answer, Tensor) else None  # the next layer may work in place


def _counted(view: View, heat: Tensor) -> Tensor:
    """For a score what raises it; for an edge what moves it, either way."""
    return heat.clamp(min=0) if view.of == "score" else heat.abs()
