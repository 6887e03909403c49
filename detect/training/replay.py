"""Runs a saved training step again, to see in which stage its values stop being finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from detect.config.builders.adversary import build_adversary
from detect.config.builders.detector import build_uninitialized
from detect.data.loading.collate import Batch
from detect.models.adversaries.adversary import Adversary, AdversaryStep
from detect.models.detector import Detector
from detect.system.device import ComputeConfig
from detect.training.saved_step import SavedStep


@dataclass(frozen=True)
class StageCheck:
    """The values of one stage of a step: how many there are, how many are not finite, and the largest of the others."""

    stage: str
    num_values: int
    num_non_finite: int
    largest: float

    def __str__(self) -> str:
        counts = (
            f"{self.num_non_finite} of {self.num_values} numbers are not finite"
            if self.num_non_finite
            else f"{self.num_values} numbers"
        )
        return (
            f"{self.stage}: {counts}, the largest {'of the others ' if self.num_non_finite else ''}{self.largest:.4g}"
        )


def rerun_step(saved: SavedStep, compute: ComputeConfig) -> list[StageCheck]:
    """Run the step again, forward and backward, and check each stage in order; the weights are not updated."""
    detector = build_uninitialized(saved.config, saved.classes)
    detector.load_state_dict(saved.weights)
    detector.to(compute.device).train()
    adversary = build_adversary(saved.config)
    if adversary is not None:
        adversary.load_state_dict(saved.adversary or {})
        adversary.to(compute.device)
    torch.manual_seed(saved.seed)
    checks: list[StageCheck] = []
    first = saved.step * saved.config.train.accumulate
    for number, batch in enumerate(saved.batches, first):
        checks.append(_check("input", batch.images))
        with _check_outputs(detector, checks):
            losses = _backward(
                detector, batch, compute, None if adversary is None else AdversaryStep(adversary, number)
            )
        checks += [_check(f"loss {name}", loss) for name, loss in losses.items()]
    for name, part in detector.named_children():
        gradients = [parameter.grad for parameter in part.parameters() if parameter.grad is not None]
        if gradients:
            checks.append(_check(f"gradient of the {name}", gradients))
    return checks


def find_bad_images(
    detector: Detector,
    batches: Sequence[Batch],
    compute: ComputeConfig,
    adversary: Adversary | None = None,
    first: int = 0,
) -> list[str]:
    """Return the files of the images whose losses or gradients are not finite when each is run alone.

    adversary: spoils the images that it has spoiled in the batches, the first of which has the number ``first``. The
    list is empty where only the images together give values that are not finite.
    """
    detector.eval()
    bad_images = []
    for number, batch in enumerate(batches, first):
        for index, file in enumerate(batch.files):
            adversary_step = None if adversary is None else AdversaryStep(adversary, number + index)
            losses = _backward(detector, _single_image_batch(batch, index), compute, adversary_step)
            gradients = [parameter.grad for parameter in detector.parameters() if parameter.grad is not None]
            if _check("", [*losses.values(), *gradients]).num_non_finite:
                bad_images.append(file)
            detector.zero_grad(set_to_none=True)
    return bad_images


def _backward(
    detector: Detector, batch: Batch, compute: ComputeConfig, adversary_step: AdversaryStep | None
) -> dict[str, Tensor]:
    images, targets = batch.images.to(compute.device), tuple(target.to(compute.device) for target in batch.targets)
    with compute.autocast():
        losses = {name: loss.value for name, loss in detector(images, targets, None, adversary_step).items()}
    total = torch.stack(list(losses.values())).sum()
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
    return losses


@contextmanager
def _check_outputs(detector: Detector, checks: list[StageCheck]) -> Iterator[None]:
    """Append a check of the output of each part of the detector."""
    slots = (("backbone", "backbone"), ("proposer", "proposals"), ("regions", "regions"), ("head", "head"))
    handles = [detector.get_submodule(slot).register_forward_hook(_check_hook(checks, stage)) for slot, stage in slots]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check_hook(checks: list[StageCheck], stage: str) -> Callable[[nn.Module, object, object], None]:
    def hook(_: nn.Module, __: object, output: object) -> None:
        checks.append(_check(stage, output))

    return hook


def _check(stage: str, nested: object) -> StageCheck:
    num_values, num_non_finite, largest = 0, 0, 0.0
    for tensor in _tensors(nested):
        finite = tensor.isfinite()
        num_values += tensor.numel()
        num_non_finite += int((~finite).sum())
        if finite.any():
            largest = max(largest, float(tensor[finite].abs().max()))
    return StageCheck(stage=stage, num_values=num_values, num_non_finite=num_non_finite, largest=largest)


def _tensors(nested: Any) -> Iterator[Tensor]:
    """Yield the float tensors in nested dataclasses, lists and tuples."""
    if isinstance(nested, Tensor):
        if nested.is_floating_point():
            yield nested.detach()
    elif isinstance(nested, list | tuple):
        for element in nested:
            yield from _tensors(element)
    elif is_dataclass(nested):
        for field in fields(nested):
            yield from _tensors(getattr(nested, field.name))


def _single_image_batch(batch: Batch, index: int) -> Batch:
    """Return a batch of one image of this batch, padded to the same size."""
    images = batch.images
    proposals = None if images.proposals is None else (images.proposals[index],)
    image = replace(
        images,
        pixels=images.pixels[index : index + 1],
        sizes=(images.sizes[index],),
        seeds=(images.seeds[index],),
        proposals=proposals,
    )
    return replace(batch, images=image, targets=(batch.targets[index],), files=(batch.files[index],))
