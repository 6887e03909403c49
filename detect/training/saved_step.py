"""A training step whose losses or gradients are not finite, as a file from which it can be run again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from detect.checkpoints.renamed_weights import rename_weights
from detect.config import Config, to_dict
from detect.config.files import parse_config
from detect.data.loading.collate import Batch
from detect.errors import UserError
from detect.system.checksums import load_with_checksum, save_with_checksum
from detect.types import Images, Proposals, Targets

FORMAT = "detect step 1"
_KEYS = {"format", "config", "classes", "step", "seed", "weights", "batches"}


@dataclass(frozen=True)
class SavedStep:
    """A training step with everything that it depends on.

    step: the number of steps before it; seed: of torch's generator at its start; weights: the detector's at its start;
    batches: those that it had used when its losses or gradients were not finite; adversary: the weights of the
    adversary at its start, None without one.
    """

    config: Config
    classes: tuple[str, ...]
    step: int
    seed: int
    weights: dict[str, Tensor]
    batches: tuple[Batch, ...]
    adversary: dict[str, Tensor] | None = None


def write_step(file: Path, saved: SavedStep) -> None:
    """Write the step to a file, completely or not at all. Raises RunError."""
    content = {
        "format": FORMAT,
        "config": to_dict(saved.config),
        "classes": list(saved.classes),
        "step": saved.step,
        "seed": saved.seed,
        "weights": saved.weights,
        "batches": [_plain_batch(batch) for batch in saved.batches],
    }
    if saved.adversary is not None:
        content["adversary"] = saved.adversary
    save_with_checksum(file, content)


def read_step(file: Path) -> SavedStep:
    """Read a step that ``write_step`` wrote; raise UserError if the file is something else or damaged."""
    content, has_seal = load_with_checksum(file, "a saved training step")
    if not (
        isinstance(content, dict)
        and has_seal
        and content.get("format") == FORMAT
        and content.keys() - {"adversary"} == _KEYS
    ):
        raise UserError(f"{file}: expected a {FORMAT}, found another file of torch.save")
    return SavedStep(
        config=parse_config(content["config"], str(file)),
        classes=tuple(content["classes"]),
        step=content["step"],
        seed=content["seed"],
        weights=rename_weights(content["weights"]),
        batches=tuple(_restore_batch(plain) for plain in content["batches"]),
        adversary=content.get("adversary"),
    )


def _plain_batch(batch: Batch) -> dict[str, Any]:
    """Return the batch in types that torch.load reads without running code."""
    proposals = batch.images.proposals
    return {
        "pixels": batch.images.pixels,
        "sizes": list(batch.images.sizes),
        "keys": list(batch.images.seeds),
        "given": None if proposals is None else [(image.boxes, image.scores) for image in proposals],
        "targets": [
            (target.boxes, target.labels, target.difficult, target.crowd, target.masks) for target in batch.targets
        ],
        "originals": list(batch.original_sizes),
        "image_ids": list(batch.image_ids),
        "files": list(batch.files),
        "indices": list(batch.indices),
    }


def _restore_batch(plain: dict[str, Any]) -> Batch:
    """Return the batch that ``_plain_batch`` converted."""
    proposals = None
    if plain["given"] is not None:
        proposals = tuple(Proposals(boxes=boxes, scores=scores) for boxes, scores in plain["given"])
    return Batch(
        images=Images(
            pixels=plain["pixels"], sizes=tuple(plain["sizes"]), seeds=tuple(plain["keys"]), proposals=proposals
        ),
        targets=tuple(
            Targets(boxes=boxes, labels=labels, difficult=difficult, crowd=crowd, masks=masks[0] if masks else None)
            for boxes, labels, difficult, crowd, *masks in plain["targets"]  # files without masks are older
        ),
        original_sizes=tuple(plain["originals"]),
        image_ids=tuple(plain["image_ids"]),
        files=tuple(plain["files"]),
        indices=tuple(plain["indices"]),
        unreadable=(),
    )
