"""detect doctor."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("doctor", epilog="Example: detect doctor")
def command() -> None:
    """Check this machine: a line for each thing detect needs, then a verdict; exit status 1 where there is a problem.

    Looks at versions, pairs of packages known to break, devices, threads, write access and free space.
    """
    from detect.system.doctor import verdict
    from detect.system.environment import examine

    findings = examine(Path.cwd())
    for finding in findings:
        print(finding)
    print(verdict(findings))
    sys.exit(1 if any(finding.cure is not None for finding in findings) else 0)
