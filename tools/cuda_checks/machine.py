"""Part 0: the machine, and whether it can run detect."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import torch

from detect.bench.benchmark_page import describe_machine
from detect.system.device import describe_cuda
from tools.cuda_checks.records import Observation, Setup


def versions(setup: Setup) -> Iterator[Observation]:
    """Say what times and bits depend on: processor, card, driver, versions, the precision of float32."""
    for line in describe_machine():
        yield Observation(line)
    facts = describe_cuda() or {}
    for name, fact in facts.items():
        yield Observation(f"{name}: {fact}", numbers={name: fact})
    if setup.device == "cuda":
        yield Observation(f"bf16: {torch.cuda.is_bf16_supported(including_emulation=False)}")


def doctor(_: Setup) -> Iterator[Observation]:
    """Run `detect doctor`; a problem does not fail the check, for some packages are not needed here."""
    command = [sys.executable, "-m", "detect", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    for line in (done.stdout + done.stderr).splitlines():
        yield Observation(line.strip())
    yield Observation(f"exit status {done.returncode}")
