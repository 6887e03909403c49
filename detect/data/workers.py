"""Processes that read photos: what to say when the system ends one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from detect.errors import WorkError


class WorkerEnded(WorkError):  # noqa: N818 - named for what happened
    """A process that reads photos is gone; nothing is known of the photo that it was at."""


@contextmanager
def told_when_a_worker_ends(setting: str) -> Iterator[None]:
    """Turns torch's error into WorkerEnded, which names ``setting``, the one that says how many workers there are.

    torch raises from its handler of SIGCHLD, so in any line of the work and not only where a batch is awaited.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        reason = str(error).splitlines()[0].removeprefix("DataLoader ").rstrip(" .")
        raise WorkerEnded(
            f"expected processes that read photos to the end, found one ended by the system: {reason}; "
            f"if memory is short, lower {setting} (0: read in the main process)"
        ) from error
