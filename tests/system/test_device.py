from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from detect.errors import UserError
from detect.system.device import ComputeConfig, Readback, describe_cuda, deterministic_algorithms, select_device

GPU = ComputeConfig(torch.device("cuda"))


def test_bf16_on_a_gpu_without_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    with pytest.raises(
        UserError, match=r"^precision: expected fp32 or fp16 on Tesla V100, found bf16, which it lacks$"
    ):
        select_device("auto", "bf16")
    assert select_device("auto", "fp16").dtype == torch.float16
    assert select_device("cpu", "bf16").device.type == "cpu"


def settings() -> tuple[object, ...]:
    """What ``deterministic_algorithms`` sets."""
    cudnn = torch.backends.cudnn
    enabled, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    return enabled, warns, cudnn.deterministic, cudnn.benchmark, os.environ.get("CUBLAS_WORKSPACE_CONFIG")


@pytest.mark.parametrize("workspace", [None, ":16:8"])
def test_deterministic_algorithms_leave_no_setting_behind(
    workspace: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if workspace is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", workspace)
    before = settings()
    with deterministic_algorithms(ComputeConfig(torch.device("cpu"))):
        assert settings() == before
    with deterministic_algorithms(GPU):
        assert settings() == (True, False, True, False, workspace or ":4096:8")
    assert settings() == before
    with pytest.raises(RuntimeError, match=r"^another$"), deterministic_algorithms(GPU):
        raise RuntimeError("another")
    assert settings() == before


def test_operation_that_is_not_deterministic_is_one_line() -> None:
    message = r"^train.deterministic: expected operations that repeat their bits on a GPU, found put_, which does not$"
    with pytest.raises(UserError, match=message), deterministic_algorithms(GPU):
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
    assert not torch.are_deterministic_algorithms_enabled()


def test_readback_waits_for_its_copy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    event = SimpleNamespace(record=lambda: calls.append("record"), synchronize=lambda: calls.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "Event", lambda: event)
    assert not Readback(torch.tensor(False)).read()
    assert calls == []

    class OnGPU(torch.Tensor):
        is_cuda = property(lambda _: True)

    readback = Readback(torch.tensor(True).as_subclass(OnGPU))
    assert calls == ["record"]
    assert readback.read()
    assert calls == ["record", "synchronize"]


@pytest.mark.skipif(os.environ.get("DETECT_TEST_GPU") == "1", reason="asked to run on the GPU")
def test_suite_does_not_see_a_gpu() -> None:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert not torch.cuda.is_available()


def test_describe_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert describe_cuda() is None
    gpu = SimpleNamespace(name="NVIDIA H100", total_memory=80 * 2**30, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    facts = describe_cuda()
    assert facts is not None
    assert facts["gpus"] == ["NVIDIA H100, 80 GiB, compute capability 9.0"]
    assert set(facts) == {"gpus", "driver", "cuda", "cudnn", "float32"}
    assert isinstance(facts["float32"], dict)
    assert set(facts["float32"]) == {"convolutions", "products"}
