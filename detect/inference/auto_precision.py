"""``--precision auto``: bf16 where the device computes in it natively and this model is quicker in it, else fp32."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch

from detect.config import Precision
from detect.models.detector import Detector
from detect.system.device import has_native_bf16

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
    """Choose between fp32 and bf16 for a detector in float32 on ``device``, by the time of its body in both."""
    if not has_native_bf16(device):
        return PrecisionChoice("fp32", f"auto: this {_name(device)} has no bf16 of its own")
    full, half = (_body_seconds(detector, device, dtype) for dtype in (torch.float32, torch.bfloat16))
    reason = f"auto: bf16 takes {half / full:.2f} of fp32's time"
    return PrecisionChoice("bf16" if half <= MAX_SHARE * full else "fp32", reason)


@torch.no_grad()
def _body_seconds(detector: Detector, device: torch.device, dtype: torch.dtype) -> float:
    """Return the shortest time in which the body, with weights of ``dtype``, computes the maps of one input."""
    network = detector.feature_network()
    body = copy.deepcopy(network.body).to(device=device, dtype=dtype).eval()
    count, size = (1, TIMED_SIZE) if network.input_size is None else (TIMED_CROPS, network.input_size)
    pixels = torch.zeros(count, 3, *size, device=device, dtype=dtype)
    seconds = []
    for _ in range(REPEATS + 1):  # the first run plans the layers
        start = time.perf_counter()
        body(pixels)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _name(device: torch.device) -> str:
    return "processor" if device.type == "cpu" else "GPU"
