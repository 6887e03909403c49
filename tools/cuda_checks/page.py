"""Writes the reports of the parts as JSON and as a page in Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from detect.bench.result_tables import BenchmarkTable
from detect.system.files import write_text
from tools.cuda_checks.records import CheckReport, PartReport

COLUMNS = ("part", "checks", "status", "s", "budget, s")


def write_reports(reports: Sequence[PartReport], folder: Path, command: str, seconds: float) -> None:
    """Write check_cuda.json and check_cuda.md into ``folder``; seconds: those of all parts until now."""
    content = {"command": command, "seconds": seconds, "parts": [report.to_dict() for report in reports]}
    write_text(folder / "check_cuda.json", json.dumps(content, indent=1, default=str) + "\n")
    write_text(folder / "check_cuda.md", markdown_page(reports, command, seconds))


def markdown_page(reports: Sequence[PartReport], command: str, seconds: float) -> str:
    """Return the page: a table of all parts, then what each check said; failures have their traceback."""
    rows = tuple(
        (f"{report.number}. {report.title}", report.reason or len(report.checks), report.status,
         report.seconds, report.budget)
        for report in reports
    )  # fmt: skip
    failed = sum(check.status == "failed" for report in reports for check in report.checks)
    summary = f"{failed} checks failed, in {seconds:.0f} s" if failed else f"no check failed, in {seconds:.0f} s"
    lines = [
        "# Checks on a GPU",
        "",
        "Made by `tools/check_cuda.py`; every part runs in a process of its own. Part 0 says on which machine.",
        "",
        BenchmarkTable("All parts", command, COLUMNS, rows, (summary,)).to_markdown(),
    ]
    for report in reports:
        if report.checks:
            lines += [f"## {report.number}. {report.title}", ""]
            lines += [line for check in report.checks for line in _describe(check)]
    return "\n".join(lines)


def _describe(check: CheckReport) -> list[str]:
    """Return the lines of a check: its name, what it said, and the reason of a failure or a skip."""
    lines = [f"**{check.name}**: {check.status}, {check.seconds:.1f} s", ""]
    lines += [f"- {'' if line.passed else '**failed**: '}{line.text}" for line in check.observations]
    lines += [""] if check.observations else []
    if check.reason:
        lines += [*(f"    {line}" for line in check.reason.splitlines()), ""]
    return lines
