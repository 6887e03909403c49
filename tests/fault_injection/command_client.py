"""The client of ``command_server.py``, and an exact comparison of results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.fault_injection.command_server import Request
from tests.fault_injection.file_faults import Fault

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finished:
    """A command that has ended: the exit status of each process, negative for a signal, and the printed text."""

    statuses: list[int]
    text: str


class Commands:
    """A server of commands that is started once; a context manager that stops it."""

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault_injection.command_server"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # it has nothing to finish
        self._process.communicate()

    def __call__(
        self,
        *command: object,
        fault: Fault | None = None,
        kill_after: float | None = None,
        kill_when: str | None = None,
        processes: int = 0,
        faulty_rank: int = 0,
    ) -> Finished:
        """Run ``detect COMMAND...`` to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._output.unlink(missing_ok=True)
        request = Request(
            command=tuple(map(str, command)),
            output=str(self._output),
            fault=fault,
            kill_after=kill_after,
            kill_when=kill_when,
            processes=processes,
            faulty_rank=faulty_rank,
        )
        self._process.stdin.write(request.to_json() + "\n")
        self._process.stdin.flush()
        statuses = json.loads(self._process.stdout.readline())
        return Finished(statuses, self._output.read_text("utf-8") if self._output.exists() else "")

    def run_ok(self, *command: object, fault: Fault | None = None, processes: int = 0) -> str:
        """Run ``detect COMMAND...``, which must succeed, and return the printed text."""
        done = self(*command, fault=fault, processes=processes)
        assert set(done.statuses) == {0}, done.text
        return done.text


def differences(first: Any, second: Any, where: str = "") -> list[str]:
    """Return where two nested mappings, sequences, tensors, arrays and plain values are not equal bit for bit."""
    if type(first) is not type(second):
        return [f"{where}: {type(first).__name__}, {type(second).__name__}"]
    if isinstance(first, torch.Tensor):
        return [] if first.dtype == second.dtype and torch.equal(first, second) else [where]
    if isinstance(first, np.ndarray):
        return [] if first.dtype == second.dtype and np.array_equal(first, second) else [where]
    if isinstance(first, Mapping):
        if first.keys() != second.keys():
            return [f"{where}: {sorted(map(str, first.keys() ^ second.keys()))}"]
        return [line for name in first for line in differences(first[name], second[name], f"{where}/{name}")]
    if isinstance(first, Sequence) and not isinstance(first, str | bytes):
        if len(first) != len(second):
            return [f"{where}: {len(first)}, {len(second)}"]
        return [line for n in range(len(first)) for line in differences(first[n], second[n], f"{where}/{n}")]
    return [] if first == second else [f"{where}: {first!r}, {second!r}"[:200]]
