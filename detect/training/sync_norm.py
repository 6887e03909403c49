"""Synchronized batch normalization in several processes: what it needs, and which errors say so.

Its forward pass waits for the statistics of every process, so a process without an image would let the others wait.
With an image each, all exchange in the same order, also in the backward pass, where DDP sums gradients meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from detect.errors import RunError, UserError
from detect.system.distributed import ProcessGroup


def require_sync_norm_works(
    detector: nn.Module, group: ProcessGroup, device: str, num_images: int, batch_size: int
) -> None:
    """Raise UserError for synchronized batch normalization on CPUs, which torch has on GPUs only, or for small batches.

    A batch needs an image for each process, also the batch of an epoch that has what the others leave over.
    """
    if group.size == 1 or not has_sync_norm(detector):
        return
    if device == "cpu":
        raise UserError("model.backbone.norm: expected frozen, batch or group in processes on CPUs, found sync")
    smallest = num_images % batch_size or batch_size
    if smallest < group.size:
        raise UserError(
            f"train.batch_size: expected an image for each of {group.size} processes in every batch with norm sync, "
            f"found a batch of {smallest} of {num_images} images"
        )


def require_full_shares(detector: nn.Module, counts: Sequence[int]) -> None:
    """Raise RunError if the network cannot train on a batch of which some process has no image.

    counts: the number of images of each process. All processes raise it, so none waits for another.
    """
    if has_sync_norm(detector):
        raise RunError(
            f"model.backbone.norm: expected an image in each of {len(counts)} processes for norm sync, found "
            f"{counts.count(0)} processes without a readable one in this batch; raise train.batch_size or resume with "
            "fewer processes"
        )


def has_sync_norm(detector: nn.Module) -> bool:
    """Return whether the network has synchronized batch normalization."""
    return any(isinstance(module, nn.SyncBatchNorm) for module in detector.modules())


def has_own_statistics(detector: nn.Module) -> bool:
    """Return whether the network has batch normalization that learns from the images of its own process alone."""
    return any(
        isinstance(module, nn.BatchNorm2d) and any(parameter.requires_grad for parameter in module.parameters())
        for module in detector.modules()
    )
