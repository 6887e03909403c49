"""Formats findings: as lines by kind, as one line, and as values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from detect.data.findings import FINDING_KINDS, DatasetFinding
from detect.system.numbers import format_count

_NUM_EXAMPLES = 3


def format_findings(findings: Sequence[DatasetFinding], num_examples: int = _NUM_EXAMPLES) -> list[str]:
    """Return lines with each kind's count, title and fix, each followed by the first ``num_examples`` findings."""
    lines = []
    for name, group in _group_by_kind(findings):
        kind = FINDING_KINDS[name]
        lines.append(f"{kind.severity}: {name}: {len(group)} x {kind.title}; fix: {kind.fix}")
        lines += [f"    {line}" for line in map(_format_finding, group[:num_examples])]
        if len(group) > num_examples:
            lines.append(f"    and {len(group) - num_examples} more")
    return lines


def findings_summary(findings: Sequence[DatasetFinding], num_images: int, num_objects: int) -> str:
    """Return one line with the numbers of errors, warnings, files, images and objects."""
    num_errors = sum(finding.is_error for finding in findings)
    contents = f"{num_images} images, {num_objects} objects"
    faults = [finding for finding in findings if finding.is_fault]
    if not faults:
        return f"clean: {contents}"
    num_files = len({finding.file for finding in faults})
    counts = (num_errors, "error"), (len(faults) - num_errors, "warning"), (num_files, "file")
    errors, warnings, files = (format_count(count, noun) for count, noun in counts)
    return f"{errors}, {warnings} in {files}; {contents}"


def count_by_kind(findings: Sequence[DatasetFinding]) -> str:
    """Return the count of each kind as text: "3 x no-extent, 1 x tiny"."""
    return ", ".join(f"{len(group)} x {kind}" for kind, group in _group_by_kind(findings))


def findings_to_dict(findings: Sequence[DatasetFinding], num_images: int, num_objects: int) -> dict[str, Any]:
    """Return every finding, grouped by kind, as values that JSON can hold."""
    kinds = [
        {
            "kind": kind,
            "severity": FINDING_KINDS[kind].severity,
            "title": FINDING_KINDS[kind].title,
            "fix": FINDING_KINDS[kind].fix,
            "count": len(group),
            "findings": [
                {"file": finding.file, "where": finding.location, "what": finding.message} for finding in group
            ],
        }
        for kind, group in _group_by_kind(findings)
    ]
    num_errors = sum(finding.is_error for finding in findings)
    return {
        "images": num_images,
        "objects": num_objects,
        "errors": num_errors,
        "warnings": sum(finding.is_fault for finding in findings) - num_errors,
        "kinds": kinds,
    }


def _group_by_kind(findings: Sequence[DatasetFinding]) -> list[tuple[str, list[DatasetFinding]]]:
    return [(kind, list(group)) for kind, group in groupby(findings, key=lambda finding: finding.kind)]


def _format_finding(finding: DatasetFinding) -> str:
    return ": ".join(part for part in (_from_here(finding.file), finding.location, finding.message) if part)


def _from_here(file: str) -> str:
    """Return the path from the working folder if the file lies below it, else as it is."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file
