"""Where readers report faults: a strict reader stops at a fault that would lose labels, an inspecting one goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from detect.data.findings import FINDING_KINDS, DatasetFinding
from detect.errors import UserError

# Faults by which labels would be lost, or fall on another image or on a pixel of it. Training, evaluation and
# conversion stop at them.
LOSES_LABELS = frozenset(
    {
        "damaged-annotation",
        "missing-image",
        "missing-annotation",
        "unknown-id",
        "repeated-id",
        "ambiguous-image",
        "unread-kind",
        "fractions",
    }
)


class Report:
    """Collects the faults that a reader meets, each once.

    refused: the kinds that raise UserError instead; none for inspection and statistics.
    """

    def __init__(self, refused: Collection[str] = ()) -> None:
        self._refused = refused
        self._findings: dict[DatasetFinding, None] = {}

    @property
    def findings(self) -> tuple[DatasetFinding, ...]:
        """Return the faults that were collected, in order."""
        return tuple(self._findings)

    @property
    def is_strict(self) -> bool:
        """Return True if faults that would lose labels raise UserError."""
        return bool(self._refused)

    def __call__(self, kind: str, file: Path, location: str, message: str) -> None:
        """Add a fault of a kind of FINDING_KINDS. Raises UserError, in one line, if the kind is refused.

        location: the object or line in the file, empty if the fault concerns the file.
        """
        if kind in self._refused:
            raise UserError(": ".join(part for part in (str(file), location, message) if part))
        self.note(kind, file, location, message)

    def note(self, kind: str, file: Path, location: str, message: str) -> None:
        """Add a fault that stops no reader, because what it is about could not have been used anyway."""
        self._findings.setdefault(DatasetFinding(kind, str(file), location, message))

    def add_error(self, kind: str, file: Path, location: str, error: UserError) -> None:
        """Add the fault of which a parser's error tells; ``error`` itself is raised if the kind is refused."""
        if kind in self._refused:
            raise error
        self.note(kind, file, location, str(error).removeprefix(f"{file}: ").removeprefix(f"{location}: "))


def strict_report() -> Report:
    """Return the report of training, evaluation and conversion, which stops at faults that would lose labels."""
    return Report(LOSES_LABELS)


def summarize(findings: Collection[DatasetFinding]) -> list[str]:
    """Return a line for each kind, with its number, its title and its first example."""
    counts = Counter(finding.kind for finding in findings)
    lines = []
    for kind, count in counts.items():
        first = next(finding for finding in findings if finding.kind == kind)
        example = ": ".join(part for part in (first.file, first.location, first.message) if part)
        lines.append(f"{kind}: {count} x {FINDING_KINDS[kind].title}: {example}{' ...' if count > 1 else ''}")
    return lines
