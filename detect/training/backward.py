"""The forward and backward pass of a batch, in one process or in several that share it.

Several processes use torch's DistributedDataParallel (DDP): it sums the gradients of a bucket of parameters over the
processes while the backward pass computes those of the next one. Each process weights the losses of its share by the
counts of all shares, so that the sum, not the mean, is what one process computes with the whole batch. It differs from
that by rounding: float32 sums of the same terms in another order, about 1e-7 of a gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol, cast

import torch
from torch import Tensor, distributed, nn
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from detect.data.loading.collate import Batch
from detect.ops.preprocess import pad_to
from detect.system.device import ComputeConfig
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup, explain_lost_process
from detect.training.state import TrainState
from detect.training.sync_norm import require_full_shares
from detect.types import Images, Size, Targets

Losses = dict[str, Tensor]


class _Bucket(Protocol):
    """The gradients of some parameters in one tensor: GradBucket, which torch's types do not have."""

    def buffer(self) -> Tensor:
        """Return the tensor."""


class Backward(Protocol):
    """Adds the gradients of the batches of a step to the parameters."""

    def __call__(self, batch: Batch, number: int, *, is_last: bool) -> Losses | None:
        """Add the gradients of a batch; return this process's parts of its losses, None if no process has an image.

        number: of the batch in the run, from 0; is_last: whether it is the last batch of the step, after which the
        gradients are those of all processes.
        """

    def global_loss(self, losses: Sequence[Losses]) -> Tensor:
        """Return the sum of the losses of the batches of the step in all processes, (); losses: those of this one."""


@contextmanager
def open_backward(
    state: TrainState, accumulate: int, compute: ComputeConfig, group: ProcessGroup
) -> Iterator[Backward]:
    """Yield the passes of a training whose steps use ``accumulate`` batches; a single process does without DDP."""
    if group.size == 1:
        yield SingleBackward(state, accumulate, compute)
        return
    shared = SharedBackward(state, accumulate, compute, group)
    try:
        yield shared
    finally:
        shared.close()


class SingleBackward:
    """The passes of a process that trains alone."""

    def __init__(self, state: TrainState, accumulate: int, compute: ComputeConfig) -> None:
        self.state, self.accumulate, self.compute = state, accumulate, compute

    def __call__(self, batch: Batch, number: int, *, is_last: bool) -> Losses | None:  # noqa: ARG002 - of the protocol
        """Add the gradients of a batch and return its losses, None without images."""
        if not len(batch.images):
            return None
        images, targets = _on_device(batch, self.compute)
        with self.compute.autocast():
            means = self.state.losses(images, targets, number)
        losses = SINGLE_PROCESS.global_mean_parts(means)
        if losses:
            total = torch.stack(list(losses.values())).sum()
            self.state.scaler.scale(total / self.accumulate).backward()  # type: ignore[no-untyped-call]
        return {name: loss.detach() for name, loss in losses.items()}

    def global_loss(self, losses: Sequence[Losses]) -> Tensor:
        """Return the sum of these losses, ()."""
        parts = [loss for batch in losses for loss in batch.values()]
        return torch.stack(parts).sum() if parts else torch.zeros((), device=self.compute.device)


class SharedBackward:
    """The passes of a process that has a share of each batch.

    A process exchanges facts twice a batch: sizes of its images before the forward pass, and counts of its losses after
    it; and after the last batch of a step which parameters have a gradient. DDP sums the gradients in the backward pass
    of that batch alone. Its find_unused_parameters does not serve: it warns in steps that use all of them, and in
    others waits for the GPU.
    """

    def __init__(self, state: TrainState, accumulate: int, compute: ComputeConfig, group: ProcessGroup) -> None:
        self.state, self.compute, self.group = state, compute, group
        self.share = _Share(state, accumulate, compute, group)
        with explain_lost_process(group.size):
            self.ddp = DistributedDataParallel(self.share, gradient_as_bucket_view=True)
        # DDP checks the hook's annotations and does not accept strings, which this file's are.
        self.ddp.register_comm_hook(None, lambda _, bucket: _sum_bucket(bucket))
        self._with_gradient: set[nn.Parameter] = set()
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(self._note_gradient) for parameter in self.share.trainable
        ]
        self._step_is_complete = True

    def __call__(self, batch: Batch, number: int, *, is_last: bool) -> Losses | None:
        """Add the gradients of this process's share of a batch; in the last batch of a step, sum those of all."""
        shares = self.group.gather((len(batch.images), _padded_size(batch.images)))
        sizes = [size for count, size in shares if count]
        if not sizes and (self._step_is_complete or not is_last):
            return None
        if 0 < len(sizes) < self.group.size:
            require_full_shares(self.state.detector, [count for count, _ in shares])
        images, targets = None, tuple[Targets, ...]()
        if len(batch.images):
            images, targets = _on_device(batch, self.compute)
            # All shares are padded to one size, as the batch of a single process is: the padding changes the result.
            images = pad_to(images, *map(max, zip(*sizes, strict=True)))
        without_sum = nullcontext() if is_last else self.ddp.no_sync()
        with without_sum, explain_lost_process(self.group.size, among_others=True):
            objective, losses = self.ddp(images, targets, number)
            objective.backward()
        self._step_is_complete = is_last
        if is_last:
            self._clear_unused()
        return losses if sizes else None

    def global_loss(self, losses: Sequence[Losses]) -> Tensor:  # noqa: ARG002 - DDP has summed them
        """Return the sum of the losses of the step in all processes, ()."""
        carrier = self.share.loss_carrier
        assert carrier.grad is not None
        loss, carrier.grad = carrier.grad.clone(), None  # the buffer is that of the next step too
        return loss

    def close(self) -> None:
        """Remove the hooks from the parameters."""
        for hook in self._hooks:
            hook.remove()

    def _note_gradient(self, parameter: Tensor) -> None:
        """Remember a parameter whose turn in the backward pass has come, if it has a gradient; DDP adds zeros later."""
        if parameter.grad is not None:
            self._with_gradient.add(cast(nn.Parameter, parameter))

    def _clear_unused(self) -> None:
        """Set the gradients to None that no process has: zeros would let weight decay and momentum change weights."""
        trainable = list(self.share.trainable)
        present = self.group.any([parameter in self._with_gradient for parameter in trainable])
        for parameter, is_present in zip(trainable, present, strict=True):
            if not is_present:
                parameter.grad = None
        self._with_gradient.clear()


class _Share(nn.Module):
    """The losses of this process's share of a batch: the module whose forward pass DDP wraps.

    DDP knows the trainable parameters alone, so it leaves buffers and frozen weights to each process. The gradient of
    ``loss_carrier`` is the sum of the losses: so DDP sums them with the gradients.
    """

    def __init__(self, state: TrainState, accumulate: int, compute: ComputeConfig, group: ProcessGroup) -> None:
        super().__init__()
        self.trainable = nn.ParameterList(
            parameter for module in state.modules for parameter in module.parameters() if parameter.requires_grad
        )
        self.loss_carrier = nn.Parameter(torch.zeros((), device=compute.device))
        self.state, self.accumulate, self.compute, self.group = state, accumulate, compute, group

    def forward(self, images: Images | None, targets: Sequence[Targets], number: int) -> tuple[Tensor, Losses]:
        """Return what to call backward on, (), and this process's parts of the losses; images: None without any."""
        group, means = self.group, {}
        if images is not None:
            with self.compute.autocast():
                means = self.state.losses(images, targets, number, group.rank, group.size)
        losses = group.global_mean_parts(means)
        objective = torch.zeros_like(self.loss_carrier)
        if losses:
            total = torch.stack(list(losses.values())).sum()
            objective = self.state.scaler.scale(total / self.accumulate) + self.loss_carrier * total.detach()
        touched: Tensor = _Touch.apply(objective, self.loss_carrier, *self.trainable)
        return touched, {name: loss.detach() for name, loss in losses.items()}


class _Touch(torch.autograd.Function):
    """Passes a tensor () on, as if it depended on all parameters; those that it does not depend on get no gradient.

    DDP waits for the turn of each parameter in the backward pass, which it has even without images.
    """

    @staticmethod
    def forward(ctx: Any, objective: Tensor, *parameters: Tensor) -> Tensor:
        """Return the objective."""
        ctx.num_parameters = len(parameters)
        return objective.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the objective, and none of the parameters."""
        return (*gradients, *[None] * ctx.num_parameters)


def _sum_bucket(bucket: _Bucket) -> Future[Tensor]:
    """Begin to sum a bucket of gradients over the processes; DDP alone would take the mean."""
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    summed: Future[Tensor] = work.get_future().then(lambda done: done.value()[0])
    return summed


def _on_device(batch: Batch, compute: ComputeConfig) -> tuple[Images, tuple[Targets, ...]]:
    return batch.images.to(compute.device), tuple(target.to(compute.device) for target in batch.targets)


def _padded_size(images: Images) -> Size:
    return int(images.pixels.shape[2]), int(images.pixels.shape[3])
