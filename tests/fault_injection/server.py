"""Runs detect's command line in forks of itself, with faults: to import torch anew for each trial would take seconds.

A line of JSON asks (``Asked``), a line of JSON answers: the exit status of each process, negative for a signal.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.fault_injection.planted import Fault, plant

PATIENCE = 300.0  # seconds: what takes longer hangs


@dataclass(frozen=True)
class Asked:
    """A command; output: where stdout and stderr of all processes go; fault: planted in process number ``struck``;
    kill_after: seconds until that one is ended by SIGKILL; kill_when: or when this is printed; processes: 0 for one
    that knows of no others.
    """

    command: tuple[str, ...]
    output: str
    fault: Fault | None = None
    kill_after: float | None = None
    kill_when: str | None = None
    processes: int = 0
    struck: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def of(line: str) -> Asked:
        found: dict[str, Any] = json.loads(line)
        fault = found.pop("fault")
        return Asked(**found, fault=None if fault is None else Fault(**fault))


def serve() -> None:
    """Until stdin ends."""
    import detect.training.run
    from detect.cli.main import run

    for line in sys.stdin:
        asked = Asked.of(line)
        if "proposals" in line or "rcnn" in line:
            import detect.proposals.selective_search  # noqa: F401 - its compiled code takes seconds to load
        port, started = _free_port(), time.monotonic()
        children = []
        for rank in range(max(1, asked.processes)):
            child = os.fork()
            if child == 0:
                _be_child(asked, rank, port, run)
            children.append(child)
        print(json.dumps(_statuses(children, asked, started)), flush=True)


def _be_child(asked: Asked, rank: int, port: int, run: Any) -> None:
    status = 70
    try:
        output = os.open(asked.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for handle in (1, 2):
            os.dup2(output, handle)
        if asked.processes:
            settings = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": asked.processes, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in settings.items()}, MASTER_ADDR="127.0.0.1")
        if asked.fault is not None and rank == asked.struck:
            plant(asked.fault)
        sys.argv = ["detect", *asked.command]
        run()
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _statuses(children: list[int], asked: Asked, started: float) -> list[int]:
    """Of all children, when they have ended."""
    left, found = dict(enumerate(children)), [0] * len(children)
    pending = asked.kill_after is not None or asked.kill_when is not None
    while left:
        for rank, child in list(left.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                found[rank] = os.waitstatus_to_exitcode(status)
                del left[rank]
        spent = time.monotonic() - started
        if pending and asked.struck in left and _is_due(asked, spent):
            os.kill(left[asked.struck], signal.SIGKILL)
            pending = False
        if spent > PATIENCE:
            for child in left.values():
                os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    return found


def _is_due(asked: Asked, spent: float) -> bool:
    if asked.kill_after is not None:
        return spent > asked.kill_after
    output = Path(asked.output)
    return asked.kill_when is not None and output.exists() and asked.kill_when in output.read_text("utf-8", "replace")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    serve()
