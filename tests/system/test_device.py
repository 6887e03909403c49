from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from detect.errors import UserError
from detect.system.device import describe_cuda, select_device


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
