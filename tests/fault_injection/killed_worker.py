"""Run detect's command line as a worker of torchrun; the first start of one of them ends by SIGKILL in a step.

Arguments: the rank of that worker, the step, whether the process that started it ends too ("agent" or "alone"), then
those of the command.
"""

from __future__ import annotations

import os
import signal
import sys

import detect.training.loop
from detect.cli.main import run

rank, last_step, with_agent = sys.argv[1:4]
sys.argv = ["detect", *sys.argv[4:]]
_step_seed = detect.training.loop.step_seed


def step_seed(seed: int, step: int) -> int:
    """Return the seed of a step, or end the process in the chosen one."""
    if step == int(last_step):
        if with_agent == "agent":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return _step_seed(seed, step)


# Where a machine has left, torchrun counts a restart by those that are still there.
if os.environ["RANK"] == rank and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    detect.training.loop.step_seed = step_seed
run()
