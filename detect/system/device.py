"""The device to compute on and the floating-point type to compute in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from detect.errors import UserError

_CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


DTYPES: dict[Literal["fp32", "bf16", "fp16"], torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class ComputeConfig:
    """The device, and the type in which the networks compute. Weights, boxes and losses stay float32."""

    device: torch.device
    dtype: torch.dtype = torch.float32

    @property
    def is_asynchronous(self) -> bool:
        """True if the host runs ahead of the device, and waits for it where it reads a value or copies plain memory."""
        return self.device.type != "cpu"

    @property
    def precision(self) -> Literal["fp32", "bf16", "fp16"]:
        """Return the name of the type in the settings."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context for a forward pass: torch.autocast, or nothing for float32."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


@contextmanager
def deterministic_algorithms(compute: ComputeConfig) -> Iterator[None]:
    """Let a GPU compute the same bits in every run; a CPU does so anyway, and nothing is changed for it.

    Raises UserError for an operation of which torch has no such form. torch's settings are restored at the end.
    """
    if not compute.is_asynchronous:
        yield
        return
    cudnn = torch.backends.cudnn
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    settings = cudnn.deterministic, cudnn.benchmark
    workspace = os.environ.get(_CUBLAS_WORKSPACE)
    try:
        os.environ.setdefault(_CUBLAS_WORKSPACE, ":4096:8")  # torch asks for it before matrix products
        cudnn.deterministic, cudnn.benchmark = True, False
        torch.use_deterministic_algorithms(True)
        yield
    except RuntimeError as error:
        operation = re.match(r"(\S+) does not have a deterministic implementation", str(error))
        if operation is None:
            raise
        raise UserError(
            f"train.deterministic: expected operations that repeat their bits on a GPU, found {operation[1]}, which "
            "does not"
        ) from error
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        cudnn.deterministic, cudnn.benchmark = settings
        if workspace is None:
            del os.environ[_CUBLAS_WORKSPACE]


class Readback:
    """A bool () on a device, copied to the host while both go on with their work."""

    def __init__(self, flag: Tensor) -> None:
        self._copy = flag.to("cpu", non_blocking=True)
        self._copied = torch.cuda.Event() if flag.is_cuda else None  # type: ignore[no-untyped-call]
        if self._copied is not None:
            self._copied.record()

    def read(self) -> bool:
        """Return the flag; the host waits for its copy alone, not for what the device was asked to do since."""
        if self._copied is not None:
            self._copied.synchronize()
        return bool(self._copy)


def select_device(device: Literal["auto", "cpu", "cuda"], precision: Literal["fp32", "bf16", "fp16"]) -> ComputeConfig:
    """Return the requested device and type; auto takes a GPU if there is one. UserError if it is not available."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: expected a machine with CUDA for cuda, found none (auto takes what there is)")
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    dtype = DTYPES[precision]
    if name == "cpu" and dtype == torch.float16:
        raise UserError("precision: expected fp32 or bf16 on a CPU, found fp16")
    if name == "cuda" and dtype == torch.bfloat16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(
            f"precision: expected fp32 or fp16 on {torch.cuda.get_device_name()}, found bf16, which it lacks"
        )
    return ComputeConfig(torch.device(name), dtype)


def has_native_bf16(device: torch.device, cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether a device has instructions for bf16: a CPU with AMX, AVX-512 BF16 or Arm's, a GPU from Ampere on.

    Others convert to float32 for each product, which is slower than float32 itself.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = cpu_info.read_text(encoding="utf-8", errors="replace").split() if cpu_info.is_file() else []
    return not {"amx_bf16", "avx512_bf16", "bf16"}.isdisjoint(flags)


def describe_cuda() -> dict[str, object] | None:
    """Return what the numbers of a GPU depend on, None without one: the cards, the driver, the versions of CUDA and
    cuDNN, and the precision in which convolutions and matrix products of float32 are computed (``tf32`` or ``ieee``;
    ``none``: torch's default, which is tf32 for convolutions and ieee for products).
    """
    if not torch.cuda.is_available():
        return None
    return {
        "gpus": [_describe_gpu(index) for index in range(torch.cuda.device_count())],
        "driver": _driver_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "float32": {
            "convolutions": str(torch.backends.cudnn.conv.fp32_precision),  # type: ignore[attr-defined]
            "products": str(torch.backends.cuda.matmul.fp32_precision),
        },
    }


def _describe_gpu(index: int) -> str:
    gpu = torch.cuda.get_device_properties(index)
    return f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, compute capability {gpu.major}.{gpu.minor}"


def _driver_version() -> str | None:
    """Return the version of NVIDIA's driver, which torch does not know; None where neither file nor command has it."""
    file = Path("/proc/driver/nvidia/version")
    if file.is_file():
        words = file.read_text(encoding="utf-8", errors="replace").split()
        versions = [word for word in words if word.count(".") >= 1 and word.replace(".", "").isdecimal()]
        if versions:
            return versions[0]
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else None
