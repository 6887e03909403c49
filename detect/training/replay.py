"""A step whose numbers were not finite: kept with all that it depends on, and done again to see where they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detect.config import Config, as_plain
from detect.config.builders.detector import empty_detector
from detect.config.files import parse
from detect.data.loading.collate import Batch
from detect.errors import UserError
from detect.models.detector import Detector
from detect.system.checksums import read_sealed, write_sealed
from detect.system.device import Compute
from detect.types import Images, Proposals, Targets, targets_to, to_device

FORMAT = "detect step 1"
_KEYS = {"format", "config", "classes", "step", "seed", "weights", "batches"}


@dataclass(frozen=True)
class KeptStep:
    """step: steps done before it; seed: of torch's generator at its start; weights: the detector's at its start;
    batches: those it had seen when its numbers were no longer finite.
    """

    config: Config
    classes: tuple[str, ...]
    step: int
    seed: int
    weights: dict[str, Tensor]
    batches: tuple[Batch, ...]


@dataclass(frozen=True)
class Finding:
    """Of one stage of the step: how many of its numbers are not finite, and the largest of the others."""

    stage: str
    numbers: int
    broken: int
    largest: float

    def __str__(self) -> str:
        told = f"{self.broken} of {self.numbers} numbers are not finite" if self.broken else f"{self.numbers} numbers"
        return f"{self.stage}: {told}, the largest {'of the others ' if self.broken else ''}{self.largest:.4g}"


def write_step(file: Path, kept: KeptStep) -> None:
    """Whole or not at all. Raises WorkError."""
    content = {
        "format": FORMAT,
        "config": as_plain(kept.config),
        "classes": list(kept.classes),
        "step": kept.step,
        "seed": kept.seed,
        "weights": kept.weights,
        "batches": [_plain_batch(batch) for batch in kept.batches],
    }
    write_sealed(file, content)


def read_step(file: Path) -> KeptStep:
    """What ``write_step`` wrote; UserError where the file is something else or damaged."""
    content, has_seal = read_sealed(file, "a training step that was kept")
    if not (isinstance(content, dict) and has_seal and content.get("format") == FORMAT and content.keys() == _KEYS):
        raise UserError(f"{file}: expected a {FORMAT}, found another file of torch.save")
    return KeptStep(
        parse(content["config"], str(file)),
        tuple(content["classes"]),
        content["step"],
        content["seed"],
        content["weights"],
        tuple(_batch(plain) for plain in content["batches"]),
    )


def replay(kept: KeptStep, compute: Compute) -> list[Finding]:
    """The step again, forward and backward, in the order of its stages; the weights are not moved."""
    detector = empty_detector(kept.config, kept.classes)
    detector.load_state_dict(kept.weights)
    detector.to(compute.device).train()
    torch.manual_seed(kept.seed)
    findings: list[Finding] = []
    for batch in kept.batches:
        findings.append(_finding("input", batch.images))
        with _watched(detector, findings):
            losses = _backward(detector, batch, compute)
        findings += [_finding(f"loss {name}", loss) for name, loss in losses.items()]
    for name, part in detector.named_children():
        gradients = [parameter.grad for parameter in part.parameters() if parameter.grad is not None]
        if gradients:
            findings.append(_finding(f"gradient of the {name}", gradients))
    return findings


def suspects(detector: Detector, batches: Sequence[Batch], compute: Compute) -> list[str]:
    """The images that give no finite losses and gradients alone; none where it takes their company."""
    detector.eval()
    found = []
    for batch in batches:
        for place, file in enumerate(batch.files):
            losses = _backward(detector, _alone(batch, place), compute)
            gradients = [parameter.grad for parameter in detector.parameters() if parameter.grad is not None]
            if _finding("", [*losses.values(), *gradients]).broken:
                found.append(file)
            detector.zero_grad(set_to_none=True)
    return found


def _backward(detector: Detector, batch: Batch, compute: Compute) -> dict[str, Tensor]:
    images, targets = to_device(batch.images, compute.device), targets_to(batch.targets, compute.device)
    with compute.autocast():
        losses: dict[str, Tensor] = detector(images, targets)
    total = torch.stack(list(losses.values())).sum()
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
    return losses


@contextmanager
def _watched(detector: Detector, findings: list[Finding]) -> Iterator[None]:
    """Notes what comes out of each slot that is a module."""
    slots = (("backbone", "backbone"), ("proposer", "proposals"), ("regions", "regions"), ("head", "head"))
    handles = [
        part.register_forward_hook(_noting(findings, stage))
        for slot, stage in slots
        if isinstance(part := getattr(detector, slot), nn.Module)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _noting(findings: list[Finding], stage: str) -> Callable[[nn.Module, object, object], None]:
    def note(_: nn.Module, __: object, output: object) -> None:
        findings.append(_finding(stage, output))

    return note


def _finding(stage: str, value: object) -> Finding:
    numbers, broken, largest = 0, 0, 0.0
    for tensor in _tensors(value):
        finite = tensor.isfinite()
        numbers += tensor.numel()
        broken += int((~finite).sum())
        if finite.any():
            largest = max(largest, float(tensor[finite].abs().max()))
    return Finding(stage, numbers, broken, largest)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors of floats in a nest of records, sequences and mappings."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value.detach()
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))


def _alone(batch: Batch, place: int) -> Batch:
    """One image of the batch, on the same canvas."""
    images = batch.images
    given = None if images.given is None else (images.given[place],)
    one = Images(images.pixels[place : place + 1], (images.sizes[place],), (images.keys[place],), given)
    return replace(batch, images=one, targets=(batch.targets[place],), files=(batch.files[place],))


def _plain_batch(batch: Batch) -> dict[str, Any]:
    """In types that torch.load reads without running code."""
    given = batch.images.given
    return {
        "pixels": batch.images.pixels,
        "sizes": list(batch.images.sizes),
        "keys": list(batch.images.keys),
        "given": None if given is None else [(one.boxes, one.scores) for one in given],
        "targets": [(one.boxes, one.labels, one.difficult, one.crowd) for one in batch.targets],
        "originals": list(batch.originals),
        "image_ids": list(batch.image_ids),
        "files": list(batch.files),
        "indices": list(batch.indices),
    }


def _batch(plain: dict[str, Any]) -> Batch:
    given = None if plain["given"] is None else tuple(Proposals(*one) for one in plain["given"])
    return Batch(
        Images(plain["pixels"], tuple(plain["sizes"]), tuple(plain["keys"]), given),
        tuple(Targets(*one) for one in plain["targets"]),
        tuple(plain["originals"]),
        tuple(plain["image_ids"]),
        tuple(plain["files"]),
        tuple(plain["indices"]),
        (),
    )
