"""Good manners on a machine that others use too."""

from __future__ import annotations

import os

_SPINS = "20000"  # turns of a waiting loop, some tens of microseconds; libgomp's own 300,000 are a few milliseconds


def share_cores() -> None:
    """Let threads that wait for each other give up their core soon. Call it before torch is imported.

    Threads of one operation wait by spinning. Where another program holds a core, they spin while the thread that they
    wait for has none: two trainings at once on two cores each took 10 times as long as one alone, with this twice as
    long, and one alone takes as long as before. A value that the user has set stands.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
