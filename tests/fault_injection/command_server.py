"""Run detect's command line in forks of this process, with faults, which saves the import of torch for each trial.

The input is a line of JSON for each ``Request``, the output a line of JSON: the exit status of each process, negative
for a signal.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.fault_injection.file_faults import Fault, inject

TIMEOUT = 300.0  # seconds, after which the processes of a command are killed


@dataclass(frozen=True)
class Request:
    """A command to run.

    output: the file of stdout and stderr of all processes; fault: injected in process ``faulty_rank``; kill_after:
    seconds until that process is ended by SIGKILL; kill_when: the printed text at which it is; processes: 0 for a
    single process outside a process group.
    """

    command: tuple[str, ...]
    output: str
    fault: Fault | None = None
    kill_after: float | None = None
    kill_when: str | None = None
    processes: int = 0
    faulty_rank: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(line: str) -> Request:
        fields: dict[str, Any] = json.loads(line)
        fault = fields.pop("fault")
        return Request(**fields, fault=None if fault is None else Fault(**fault))


def serve() -> None:
    """Run the requests of stdin until it ends."""
    from detect.cli.main import run

    for module in ("detect.training.run", "detect.data.loading.augmentation"):
        import_module(module)

    for line in sys.stdin:
        request = Request.from_json(line)
        if "proposals" in line or "rcnn" in line:  # the search's compiled code and sklearn take seconds to load
            for module in ("detect.proposals.selective_search.search", "sklearn.svm"):
                import_module(module)
        port, started = _free_port(), time.monotonic()
        children = []
        for rank in range(max(1, request.processes)):
            child = os.fork()
            if child == 0:
                _run_child(request, rank, port, run)
            children.append(child)
        print(json.dumps(_statuses(children, request, started)), flush=True)


def _run_child(request: Request, rank: int, port: int, run: Any) -> None:
    status = 70
    try:
        output = os.open(request.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for handle in (1, 2):
            os.dup2(output, handle)
        if request.processes:
            settings = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": request.processes, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in settings.items()}, MASTER_ADDR="127.0.0.1")
        if request.fault is not None and rank == request.faulty_rank:
            inject(request.fault)
        sys.argv = ["detect", *request.command]
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


def _statuses(children: list[int], request: Request, started: float) -> list[int]:
    """Wait for all children and return their exit statuses."""
    left, statuses = dict(enumerate(children)), [0] * len(children)
    pending = request.kill_after is not None or request.kill_when is not None
    while left:
        for rank, child in list(left.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                statuses[rank] = os.waitstatus_to_exitcode(status)
                del left[rank]
        spent = time.monotonic() - started
        if pending and request.faulty_rank in left and _is_due(request, spent):
            os.kill(left[request.faulty_rank], signal.SIGKILL)
            pending = False
        if spent > TIMEOUT:
            for child in left.values():
                os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    return statuses


def _is_due(request: Request, spent: float) -> bool:
    if request.kill_after is not None:
        return spent > request.kill_after
    output = Path(request.output)
    return (
        request.kill_when is not None and output.exists() and request.kill_when in output.read_text("utf-8", "replace")
    )


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    serve()
