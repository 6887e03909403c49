"""``precision=auto``: bf16 where the device computes in it natively and this model is quicker in it, else fp32."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from detect.config import Precision
from detect.models.detector import Detector
from detect.models.slots import FeatureNetwork
from detect.system.device import ComputeConfig, has_native_bf16

TIMED_SIZE = (320, 416)  # pixels: a fifth of a photo at 800; ResNet-50 takes 0.2 s on two cores
TIMED_CROPS = 16  # of a detector that reads crops
REPEATS = 3
MAX_SHARE = 0.9  # of fp32's time that bf16 may take: less than a tenth is not worth its rounding


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision that was chosen, and why, in words."""

    precision: Precision
    reason: str


def choose_precision(detector: Detector, device: torch.device) -> PrecisionChoice:
    """Choose for detection, of a detector in float32 on ``device``, by the time of its body with weights of both."""
    return _choose(device, lambda dtype: _body_seconds(detector, device, dtype))


def choose_training_precision(detector: Detector, device: torch.device) -> PrecisionChoice:
    """Choose for training, of a detector in float32, by the time of its body forward and backward in both."""
    return _choose(device, lambda dtype: _step_seconds(detector, device, dtype))


def _choose(device: torch.device, measure: Callable[[torch.dtype], float]) -> PrecisionChoice:
    """Choose by the seconds that ``measure`` returns for a type; where the device lacks bf16 nothing is measured."""
    if not has_native_bf16(device):
        return PrecisionChoice("fp32", f"auto: this {_name(device)} has no bf16 of its own")
    full, half = (measure(dtype) for dtype in (torch.float32, torch.bfloat16))
    reason = f"auto: bf16 takes {half / full:.2f} of fp32's time"
    return PrecisionChoice("bf16" if half <= MAX_SHARE * full else "fp32", reason)


@torch.no_grad()
def _body_seconds(detector: Detector, device: torch.device, dtype: torch.dtype) -> float:
    """Return the shortest time in which the body, with weights of ``dtype``, computes the maps of one input."""
    network = detector.feature_network()
    body = copy.deepcopy(network.body).to(device=device, dtype=dtype).eval()
    pixels = _timed_pixels(network, device).to(dtype)
    return _shortest_seconds(lambda: body(pixels), device)


def _step_seconds(detector: Detector, device: torch.device, dtype: torch.dtype) -> float:
    """Return the shortest time of a step of the body as training runs it: weights in float32, computation in ``dtype``.

    A copy of the body is run; the detector and its statistics stay as they are.
    """
    network = detector.feature_network()
    body = copy.deepcopy(network.body).to(device).train()
    pixels = _timed_pixels(network, device)

    def step() -> None:
        body.zero_grad()
        with ComputeConfig(device, dtype).autocast():
            maps = body(pixels)
        total = torch.stack([features.float().mean() for features in maps]).sum()
        if total.requires_grad:  # not where all stages are frozen
            total.backward()  # type: ignore[no-untyped-call]

    return _shortest_seconds(step, device)


def _timed_pixels(network: FeatureNetwork, device: torch.device) -> Tensor:
    """Return an image (1, 3, H, W), or crops for a body that reads those."""
    count, size = (1, TIMED_SIZE) if network.input_size is None else (TIMED_CROPS, network.input_size)
    return torch.zeros(count, 3, *size, device=device)


def _shortest_seconds(run: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of the quickest of REPEATS runs, after one that plans the layers."""
    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _name(device: torch.device) -> str:
    return "processor" if device.type == "cpu" else "GPU"
