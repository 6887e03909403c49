"""The command ``detect doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("doctor", epilog="Example: detect doctor")
def command() -> None:
    """Check this machine: one line for each requirement, then a summary; exit status 1 if there is a problem.

    Checks versions, pairs of packages known to break, devices, threads, write access and free disk space.
    """
    from detect.system.doctor import summary_line
    from detect.system.environment import probe_environment

    findings = probe_environment(Path.cwd())
    for finding in findings:
        print(finding)
    print(summary_line(findings))
    sys.exit(1 if any(finding.fix is not None for finding in findings) else 0)
