"""Which backends several processes exchange with, and which of their errors are about a lost process."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import distributed

from detect.errors import RunError, UserError
from detect.system import distributed as ours
from detect.system.distributed import ProcessGroup, _explain_lost_process, init_process_group


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls to torch that a second process of two makes on a machine with one GPU."""
    made: list[tuple[Any, ...]] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: made.append(("set_device", index)))
    monkeypatch.setattr(
        distributed, "init_process_group", lambda backend, timeout: made.append(("default", backend, timeout))
    )

    def new_group(backend: str, timeout: timedelta) -> str:
        made.append(("new", backend, timeout))
        return "objects"

    monkeypatch.setattr(distributed, "new_group", new_group)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: made.append(("destroy",)))
    return made


def test_processes_on_cpus_need_no_gpu(calls: list[tuple[Any, ...]]) -> None:
    with init_process_group("cpu") as group:
        assert (group.rank, group.size, group.objects) == (1, 2, None)
    assert calls == [("default", "gloo", timedelta(hours=24)), ("destroy",)]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_more_processes_than_gpus_are_refused(device: Literal["auto", "cuda"], calls: list[tuple[Any, ...]]) -> None:
    message = r"^--nproc-per-node: expected at most one for each of 1 GPUs"
    with pytest.raises(UserError, match=message), init_process_group(device):
        pass
    assert calls == []


def test_nccl_waits_minutes_and_gathers_of_objects_wait_hours(
    calls: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    gathered: list[object] = []
    monkeypatch.setattr(distributed, "all_gather_object", lambda _, __, group: gathered.append(group))
    with init_process_group("cuda") as group:
        group.gather(3)
    assert calls == [
        ("set_device", 0),
        ("default", "cpu:gloo,cuda:nccl", timedelta(minutes=10)),
        ("new", "gloo", timedelta(hours=24)),
        ("destroy",),
    ]
    assert gathered == ["objects"]


@pytest.mark.parametrize("bucket_size", [1, 7, 1000])
def test_gradients_are_summed_in_buckets(bucket_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process has the same loss and gradients, and one more."""
    lengths: list[int] = []
    waited: list[int] = []

    def all_reduce(tensor: torch.Tensor, **named: Any) -> Any:
        if tensor.dtype == torch.int32:
            tensor.copy_(torch.tensor([2, 0, 1, 2]))
            return None
        assert named["async_op"]
        lengths.append(len(tensor))
        tensor.mul_(2)
        return SimpleNamespace(wait=lambda: waited.append(len(tensor)))

    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(ours, "_BUCKET_SIZE", bucket_size)
    first = torch.arange(24.0).view(2, 3, 2, 2).to(memory_format=torch.channels_last)
    parameters = [torch.nn.Parameter(torch.zeros(2, 3, 2, 2))] + [torch.nn.Parameter(torch.zeros(3)) for _ in range(3)]
    parameters[0].grad, parameters[3].grad = first.clone(memory_format=torch.preserve_format), torch.ones(3)
    frozen = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    loss = torch.tensor(3.0)
    total = ProcessGroup(0, 2).sum_gradients([frozen, *parameters], loss)
    assert (total.item(), loss.item()) == (6.0, 3.0)
    gradients = [parameter.grad for parameter in parameters]
    expected = [first * 2, None, torch.zeros(3), torch.full((3,), 2.0)]
    for gradient, expected_gradient in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=0)
    assert gradients[0] is not None
    assert gradients[0].is_contiguous(memory_format=torch.channels_last)
    assert (sum(lengths), waited) == (31, lengths)
    assert len(lengths) == {1: 4, 7: 2, 1000: 1}[bucket_size]


@pytest.mark.parametrize("kind", [torch.AcceleratorError, torch.OutOfMemoryError])
def test_error_of_the_own_gpu_is_not_explained_as_a_lost_process(kind: type[RuntimeError]) -> None:
    with pytest.raises(kind, match=r"^device-side assert$"), _explain_lost_process(2):
        raise kind("device-side assert")
    with pytest.raises(RunError, match="found one that is gone: Connection closed"), _explain_lost_process(2):
        raise RuntimeError("Connection closed by peer")
