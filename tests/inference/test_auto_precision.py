from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detect.inference import auto_precision
from detect.inference.auto_precision import PrecisionChoice, choose_precision, choose_training_precision
from detect.models.detector import Detector
from detect.system.device import has_native_bf16
from tests.models.graph.test_detection_graph import VARIANTS, build

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("native", "share", "precision", "reason"),
    [
        (False, 0.1, "fp32", "auto: this processor has no bf16 of its own"),
        (True, 0.5, "bf16", "auto: bf16 takes 0.50 of fp32's time"),
        (True, 0.95, "fp32", "auto: bf16 takes 0.95 of fp32's time"),
        (True, 3.0, "fp32", "auto: bf16 takes 3.00 of fp32's time"),
    ],
)
def test_bf16_is_chosen_where_it_is_native_and_quicker(
    native: bool, share: float, precision: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_precision, "has_native_bf16", lambda _: native)
    seconds = {torch.float32: 2.0, torch.bfloat16: 2.0 * share}
    for name, choose in (("_body_seconds", choose_precision), ("_step_seconds", choose_training_precision)):
        with monkeypatch.context() as patched:
            patched.setattr(auto_precision, name, lambda _, __, dtype: seconds[dtype])
            choice = choose(build(), CPU)
        assert (choice.precision, choice.reason) == (precision, reason)


@pytest.mark.slow
@pytest.mark.parametrize("choose", [choose_precision, choose_training_precision])
@pytest.mark.parametrize("variant", ["faster", "rcnn"])
def test_timing_leaves_the_weights_as_they_are(
    variant: str, choose: Callable[[Detector, torch.device], PrecisionChoice], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, setting in {"has_native_bf16": lambda _: True, "REPEATS": 1, "TIMED_CROPS": 2}.items():
        monkeypatch.setattr(auto_precision, name, setting)
    detector = build(**VARIANTS[variant])
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    assert choose(detector, CPU).precision in ("fp32", "bf16")
    assert all(parameter.grad is None for parameter in detector.parameters())
    after = detector.state_dict()
    assert all(
        torch.equal(tensor, after[name]) and tensor.dtype == after[name].dtype for name, tensor in before.items()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("flags\t\t: fpu avx2 fma\n", False),
        ("flags\t\t: avx512_bf16_x\n", False),
        ("flags\t\t: avx512f avx512_bf16 vnni\n", True),
        ("flags : amx_bf16\n", True),
        ("Features : asimd bf16 i8mm\n", True),
    ],
)
def test_native_bf16_of_a_processor(text: str, expected: bool, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert has_native_bf16(CPU, file) == expected
    assert not has_native_bf16(CPU, tmp_path / "missing")
