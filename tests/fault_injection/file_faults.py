"""Inject a fault into a process: its n-th operation on a file below a folder ends it by SIGKILL, or fails."""

from __future__ import annotations

import errno
import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

Result = TypeVar("Result")
Kind = Literal["none", "kill before", "kill within", "kill after", "no space", "I/O error", "short write", "full disk"]
KILLS: tuple[Kind, ...] = ("kill before", "kill within", "kill after")
FAILURES: tuple[Kind, ...] = ("no space", "I/O error", "short write", "full disk")
_NUMBERS = {"I/O error": errno.EIO}


@dataclass(frozen=True)
class Fault:
    """A fault in the ``operation``-th operation, from 1, on files below ``folder``; ``log`` gets a line for each one.

    kill within: half of the content is written; short write: the same, then no space is left; full disk: from then on
    only operations that remove or rename succeed.
    """

    folder: str
    operation: int = 0
    kind: Kind = "none"
    log: str | None = None


class FaultInjector:
    """Counts the operations and injects the fault into its operation."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.folder = os.path.realpath(fault.folder)
        self.num_operations = 0

    def perform(
        self, name: str, path: str, do: Callable[[], Result], half: Callable[[], object] | None = None
    ) -> Result:
        """Call ``do``, or inject the fault if this is its operation; ``half`` does half of the operation."""
        if not os.path.realpath(path).startswith(self.folder):
            return do()
        self.num_operations += 1
        self._note(name, path)
        kind, operation = self.fault.kind, self.fault.operation
        if kind == "full disk" and self.num_operations >= operation and name in ("write", "flush", "sync"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if self.num_operations != operation or kind in ("none", "full disk"):
            return do()
        if kind == "kill after":
            do()
        if kind in ("kill within", "short write") and half is not None:
            half()
        if kind in KILLS:
            os.kill(os.getpid(), signal.SIGKILL)
        operation = _NUMBERS.get(kind, errno.ENOSPC)
        raise OSError(operation, os.strerror(operation), path)

    def _note(self, name: str, path: str) -> None:
        if self.fault.log is not None:
            handle = os.open(self.fault.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, f"{name} {Path(path).name}\n".encode())
            os.close(handle)


class FaultyStream:
    """A file open for writing whose operations the injector counts."""

    def __init__(self, stream: Any, path: str, planted: FaultInjector) -> None:
        self._stream, self._path, self._planted = stream, path, planted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> FaultyStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def write(self, data: Any) -> Any:
        def half() -> None:
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()

        return self._planted.perform("write", self._path, lambda: self._stream.write(data), half)

    def flush(self) -> None:
        self._planted.perform("flush", self._path, self._stream.flush)

    def truncate(self, *size: int) -> Any:
        return self._planted.perform("truncate", self._path, lambda: self._stream.truncate(*size))


def inject(fault: Fault, patch: Callable[[Any, str, Any], None] = setattr) -> FaultInjector:
    """Replace Python's file operations by counting ones, with ``patch(module, name, function)``."""
    injector = FaultInjector(fault)
    opened, synced, replaced, renamed, unlinked, truncated = (
        io.open,
        os.fsync,
        os.replace,
        os.rename,
        os.unlink,
        os.truncate,
    )

    def open_(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        stream = opened(file, mode, *arguments, **named)
        path = _path_of(file) if isinstance(file, int) else os.fspath(file)
        return FaultyStream(stream, path, injector) if set(mode) & set("wax+") else stream

    patch(io, "open", open_)
    patch(os, "fsync", lambda handle: injector.perform("sync", _path_of(handle), lambda: synced(handle)))
    patch(os, "replace", lambda old, new: injector.perform("rename", str(new), lambda: replaced(old, new)))
    patch(os, "rename", lambda old, new: injector.perform("rename", str(new), lambda: renamed(old, new)))
    patch(os, "unlink", lambda path, **named: injector.perform("remove", str(path), lambda: unlinked(path, **named)))
    patch(os, "truncate", lambda path, size: injector.perform("truncate", str(path), lambda: truncated(path, size)))
    return injector


def _path_of(handle: int) -> str:
    return str(Path(f"/proc/self/fd/{handle}").readlink())
