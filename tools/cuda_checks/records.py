"""What a check says, and what is written about all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from detect.config import Precision
from detect.system.device import ComputeConfig, select_device

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Setup:
    """What all checks share.

    work: a folder that they may write to; small: whether the sizes are those of a trial on a CPU, where the checks that
    need CUDA say so and pass.
    """

    device: Literal["cpu", "cuda"]
    work: Path
    small: bool

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Return the precisions to try; on a CPU only fp32, as bf16 takes up to a hundred times longer on most."""
        return ("fp32", "bf16", "fp16") if self.device == "cuda" else ("fp32",)

    def compute(self, precision: Precision = "fp32") -> ComputeConfig:
        """Return the device and the floating-point type."""
        return select_device(self.device, precision)

    def synchronize(self) -> None:
        """Wait until a GPU has done all that it was asked to do."""
        if self.device == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Observation:
    """One line of a check: a sentence, whether it is as expected, and its numbers for the JSON file."""

    text: str
    passed: bool = True
    numbers: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[Setup], Iterator[Observation]]


@dataclass(frozen=True)
class Part:
    """A part of the checks: they run one after the other in a process of their own.

    seconds: the budget; a check that has not begun when it is spent is skipped. takes_rest: the budget is all the time
    that is left, and ``seconds`` the minimum.
    """

    number: int
    title: str
    seconds: float
    checks: tuple[Check, ...]
    takes_rest: bool = False


@dataclass(frozen=True)
class CheckReport:
    """What came of a check. reason: the traceback of a failure, or why it was skipped."""

    name: str
    status: Status
    seconds: float
    observations: tuple[Observation, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class PartReport:
    """What came of a part. reason: why all of it was skipped, or how its process ended."""

    number: int
    title: str
    budget: float
    seconds: float
    checks: tuple[CheckReport, ...] = ()
    reason: str = ""

    @property
    def status(self) -> Status:
        """Return failed if a check failed, skipped if none ran, else passed."""
        statuses = {check.status for check in self.checks}
        if "failed" in statuses:
            return "failed"
        return "passed" if "passed" in statuses else "skipped"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"status": self.status, **asdict(self)}


def check_name(check: Check) -> str:
    """Return the name of a check: that of its function."""
    return str(getattr(check, "__name__", check)).replace("_", " ").strip()


def only_on_cuda(setup: Setup, what: str) -> Iterator[Observation]:
    """Yield a line that says that ``what`` needs CUDA, if the device is not one."""
    if setup.device != "cuda":
        yield Observation(f"{what}: not on a CPU")
