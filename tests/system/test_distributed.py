"""Which backends several processes exchange with, and which of their errors are about a lost process."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import pytest
import torch
from torch import distributed

from detect.errors import RunError, UserError
from detect.system.distributed import explain_lost_process, init_process_group


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


@pytest.mark.parametrize("kind", [torch.AcceleratorError, torch.OutOfMemoryError])
def test_error_of_the_own_gpu_is_not_explained_as_a_lost_process(kind: type[RuntimeError]) -> None:
    with pytest.raises(kind, match=r"^device-side assert$"), explain_lost_process(2):
        raise kind("device-side assert")
    with pytest.raises(RunError, match="found one that is gone: Connection closed"), explain_lost_process(2):
        raise RuntimeError("Connection closed by peer")


GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:20907. This"


@pytest.mark.parametrize("prefix", ["", "Got the following error when running the callback: RuntimeError: "])
def test_lost_process_in_a_backward_pass_is_explained_and_its_other_errors_are_not(prefix: str) -> None:
    message = r"^expected 2 processes to the end, found one that is gone: Connection closed by peer \[127"
    with pytest.raises(RunError, match=message), explain_lost_process(2, among_others=True):
        raise RuntimeError(prefix + GLOO)
    with pytest.raises(RuntimeError, match=r"^shapes$"), explain_lost_process(2, among_others=True):
        raise RuntimeError("shapes")
