"""The kinds of faults that the inspector reports, each with its severity and its fix, the worst kind first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class FindingKind:
    """A kind of fault.

    severity: an error stops a reader, drops a box or teaches a model something wrong; a warning should be checked.
    """

    severity: Severity
    title: str
    fix: str


_ERRORS = {
    "unreadable-image": ("image that cannot be decoded", "restore the file, or remove it and its objects"),
    "damaged-annotation": ("annotation that cannot be read", "repair or remove it"),
    "missing-image": ("annotation without its image", "add the image, or remove the annotation"),
    "missing-annotation": ("listed image without annotation", "label it, or remove it from the split"),
    "unknown-id": ("object of an unknown image or class", "correct the id, or remove the object"),
    "repeated-id": ("id or name used twice", "renumber: each id must be unique"),
    "misread-boxes": ("numbers that do not follow the format's box convention", "convert them to the format's"),
    "fractions": ("fractions where pixels are expected", "multiply by the image's width and height"),
    "pixels": ("pixels where fractions are expected", "divide by the image's width and height"),
    "not-finite": ("box with a number that is missing, infinite or NaN", "draw the box again"),
    "swapped-corners": ("box whose second corner comes first", "swap the corners"),
    "no-extent": ("box without width or height", "remove it, or draw it again"),
    "outside": ("box entirely outside its image", "remove it; check whether the image was resized"),
    "rotated": ("labelled without the image's EXIF rotation", "label the upright image, or rotate the boxes"),
    "wrong-size": ("annotated size that is not the image's", "restore the image that was labelled"),
    "leak": ("image in two splits", "keep it in one of them"),
}
_WARNINGS = {
    "near-leak": ("nearly the same image in two splits", "keep both in one split"),
    "shifted-corners": ("corners that count from another origin than the format", "count as the format does"),
    "reaches-outside": ("box that extends beyond its image", "clip it; check whether the image was resized"),
    "similar-names": ("classes with nearly the same name", "give each class one name"),
    "duplicate-box": ("object with two boxes", "remove one of them"),
    "two-classes": ("one box with two classes", "remove the wrong one"),
    "tiny": ("box under 3 pixels", "remove it, or draw it again"),
    "whole-image": ("box that covers the entire image", "check whether it was ever drawn"),
    "duplicate-image": ("the same image twice", "remove one; check whose labels are right"),
    "near-duplicate": ("nearly the same image twice", "keep both in one split"),
    "unlabelled-image": ("image without annotation", "label it, or move it away"),
    "unlisted": ("annotation in no split", "add it to a split, or move it away"),
    "wrong-suffix": ("file of another type than its suffix", "rename it"),
    "dark-16-bit": (
        "16-bit image that is read as nearly black",
        "scale its samples to 16 bits, or save 8 bits",
    ),
    "odd-size": ("image that is very small, long or large", "check whether it belongs here"),
    "rare-class": ("class with fewer than 10 objects", "label more of it, or leave it out"),
    "no-id": ("annotation without id", "number the annotations from 1: other tools need it"),
    "crowd-without-mask": ("crowd without a mask", "add its mask, or unset iscrowd"),
}
FINDING_KINDS = {kind: FindingKind("error", *texts) for kind, texts in _ERRORS.items()} | {
    kind: FindingKind("warning", *texts) for kind, texts in _WARNINGS.items()
}


@dataclass(frozen=True)
class DatasetFinding:
    """A fault of a data set.

    kind: a key of FINDING_KINDS; file: the file with the fault; location: the object or line in it, empty if the fault
    concerns the file; message: the fault in words.
    """

    kind: str
    file: str
    location: str
    message: str

    def __post_init__(self) -> None:
        if self.kind not in FINDING_KINDS:
            raise ValueError(f"DatasetFinding.kind: expected one of {', '.join(FINDING_KINDS)}, found {self.kind}")

    @property
    def is_error(self) -> bool:
        """Return True if the kind of the fault is an error, not a warning."""
        return FINDING_KINDS[self.kind].severity == "error"


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
    if not findings:
        return f"clean: {contents}"
    num_files = len({finding.file for finding in findings})
    counts = (num_errors, "error"), (len(findings) - num_errors, "warning"), (num_files, "file")
    errors, warnings, files = (f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
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
        "warnings": len(findings) - num_errors,
        "kinds": kinds,
    }


def _group_by_kind(findings: Sequence[DatasetFinding]) -> list[tuple[str, list[DatasetFinding]]]:
    return [(kind, list(group)) for kind, group in groupby(findings, key=lambda finding: finding.kind)]


def _format_finding(finding: DatasetFinding) -> str:
    return ": ".join(part for part in (finding.file, finding.location, finding.message) if part)
