"""Findings for people and for scripts: one row a kind, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from detect.data.inspect.findings import KINDS, Finding

_EXAMPLES = 3


def told(findings: Sequence[Finding], examples: int = _EXAMPLES) -> list[str]:
    """Lines: for each kind its count and cure, and ``examples`` of it."""
    lines = []
    for kind, alike in _by_kind(findings):
        rule = KINDS[kind]
        lines.append(f"{rule.severity}: {kind}: {len(alike)} x {rule.title}; cure: {rule.cure}")
        lines += [f"    {line}" for line in map(_line, alike[:examples])]
        if len(alike) > examples:
            lines.append(f"    and {len(alike) - examples} more")
    return lines


def verdict(findings: Sequence[Finding], photos: int, objects: int) -> str:
    """One line."""
    errors = sum(finding.is_error for finding in findings)
    counted = f"{photos} photos, {objects} objects"
    if not findings:
        return f"clean: {counted}"
    files = len({finding.file for finding in findings})
    counts = (errors, "error"), (len(findings) - errors, "warning"), (files, "file")
    return "{}, {} in {}; ".format(*(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)) + counted


def by_kind(findings: Sequence[Finding]) -> str:
    """How many of each kind: "3 x no-extent, 1 x tiny"."""
    return ", ".join(f"{len(alike)} x {kind}" for kind, alike in _by_kind(findings))


def as_json(findings: Sequence[Finding], photos: int, objects: int) -> dict[str, Any]:
    """Every finding, grouped."""
    kinds = [
        {
            "kind": kind,
            "severity": KINDS[kind].severity,
            "title": KINDS[kind].title,
            "cure": KINDS[kind].cure,
            "count": len(alike),
            "findings": [{"file": one.file, "where": one.where, "what": one.what} for one in alike],
        }
        for kind, alike in _by_kind(findings)
    ]
    errors = sum(finding.is_error for finding in findings)
    return {
        "photos": photos,
        "objects": objects,
        "errors": errors,
        "warnings": len(findings) - errors,
        "kinds": kinds,
    }


def _by_kind(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    return [(kind, list(alike)) for kind, alike in groupby(findings, key=lambda finding: finding.kind)]


def _line(finding: Finding) -> str:
    return ": ".join(part for part in (finding.file, finding.where, finding.what) if part)
