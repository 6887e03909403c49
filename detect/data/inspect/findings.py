"""What the inspector can find: every kind with its severity and its cure, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Kind:
    """severity: an error stops a reader, drops a box or teaches a model what is wrong; a warning wants a look."""

    severity: Severity
    title: str
    cure: str


KINDS = {
    "unreadable-image": Kind("error", "image that cannot be decoded", "restore the file, or remove it and its objects"),
    "damaged-annotation": Kind("error", "annotation that cannot be read", "mend or remove what is named"),
    "missing-image": Kind("error", "annotation without its image", "add the image, or remove the annotation"),
    "missing-annotation": Kind("error", "listed image without annotation", "label it, or take it off the list"),
    "unknown-id": Kind("error", "object of an unknown image or class", "correct the id, or remove the object"),
    "repeated-id": Kind("error", "id or name given twice", "number anew: each id stands for one thing"),
    "misread-boxes": Kind("error", "numbers of another kind than the format's", "convert them to what is expected"),
    "fractions": Kind("error", "fractions where pixels are expected", "multiply by the picture's width and height"),
    "pixels": Kind("error", "pixels where fractions are expected", "divide by the picture's width and height"),
    "not-finite": Kind("error", "box with a number missing, infinite or none", "draw the box anew"),
    "swapped-corners": Kind("error", "box whose second corner comes first", "swap the corners"),
    "no-extent": Kind("error", "box without width or height", "remove it, or draw it anew"),
    "outside": Kind("error", "box entirely outside its picture", "remove it; see whether the image was resized"),
    "rotated": Kind("error", "labelled without the image's EXIF rotation", "label the upright image, or rotate boxes"),
    "wrong-size": Kind("error", "annotated size that is not the image's", "put back the image that was labelled"),
    "leak": Kind("error", "image in two splits", "keep it in one of them"),
    "near-leak": Kind("warning", "nearly the same image in two splits", "keep both on one side"),
    "shifted-corners": Kind("warning", "corners counted otherwise than the format does", "count as the format does"),
    "reaches-outside": Kind("warning", "box that reaches outside its picture", "clip it; see whether it was resized"),
    "similar-names": Kind("warning", "classes whose names are nearly the same", "give one class one name"),
    "duplicate-box": Kind("warning", "object boxed twice", "remove one of them"),
    "two-classes": Kind("warning", "one box with two classes", "remove the wrong one"),
    "tiny": Kind("warning", "box under 3 pixels", "remove it, or draw it anew"),
    "whole-picture": Kind("warning", "box that covers the whole picture", "see whether it was ever drawn"),
    "duplicate-image": Kind("warning", "the same image twice", "remove one; see whose labels are right"),
    "near-duplicate": Kind("warning", "nearly the same image twice", "keep them on one side of a split"),
    "unlabelled-image": Kind("warning", "image without annotation", "label it, or move it away"),
    "unlisted": Kind("warning", "annotation in no list", "add it to a list, or move it away"),
    "wrong-suffix": Kind("warning", "file of another type than its name says", "rename it"),
    "odd-size": Kind("warning", "image very small, long or large", "see whether it belongs here"),
    "rare-class": Kind("warning", "class with fewer than 10 objects", "label more of it, or leave it out"),
    "no-id": Kind("warning", "annotation without id", "number the annotations from 1: other tools need it"),
    "crowd-without-mask": Kind("warning", "crowd without a mask", "add its mask, or unset iscrowd"),
}


@dataclass(frozen=True)
class Finding:
    """kind: a key of KINDS; file: where to look; where: the object or line in it, empty for all of it; what: found."""

    kind: str
    file: str
    where: str
    what: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Finding.kind: expected one of {', '.join(KINDS)}, found {self.kind}")

    @property
    def is_error(self) -> bool:
        """Whether its kind is an error."""
        return KINDS[self.kind].severity == "error"


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


def verdict(findings: Sequence[Finding], images: int, objects: int) -> str:
    """One line."""
    errors = sum(finding.is_error for finding in findings)
    counted = f"{images} images, {objects} objects"
    if not findings:
        return f"clean: {counted}"
    files = len({finding.file for finding in findings})
    counts = (errors, "error"), (len(findings) - errors, "warning"), (files, "file")
    return "{}, {} in {}; ".format(*(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)) + counted


def by_kind(findings: Sequence[Finding]) -> str:
    """How many of each kind: "3 x no-extent, 1 x tiny"."""
    return ", ".join(f"{len(alike)} x {kind}" for kind, alike in _by_kind(findings))


def as_json(findings: Sequence[Finding], images: int, objects: int) -> dict[str, Any]:
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
        "images": images,
        "objects": objects,
        "errors": errors,
        "warnings": len(findings) - errors,
        "kinds": kinds,
    }


def _by_kind(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    return [(kind, list(alike)) for kind, alike in groupby(findings, key=lambda finding: finding.kind)]


def _line(finding: Finding) -> str:
    return ": ".join(part for part in (finding.file, finding.where, finding.what) if part)
