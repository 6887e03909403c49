"""The command ``detect doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("doctor", epilog="Example: detect doctor")
def doctor_command() -> None:
    """Check this machine: one line for each requirement, then a summary; exit status 1 if there is a problem.

    Checks versions, incompatible versions of torch and torchvision, devices, threads, write access and free disk space.
    """
    from detect.system.doctor import summary_line
    from detect.system.environment import probe_environment

    checks = probe_environment(Path.cwd())
    for check in checks:
        print(check)
    print(summary_line(checks))
    sys.exit(1 if any(check.fix is not None for check in checks) else 0)
