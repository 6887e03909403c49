"""The kinds of faults of a labelled folder, each with its severity and its fix, the worst kind first.

The readers report them while they read, and the inspector adds those that only all labels and images together show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class FindingKind:
    """A kind of fault.

    severity: an error stops a reader, drops a box or teaches a model something wrong; a warning should be checked;
    a note says how labels were understood, and is no fault.
    """

    severity: Severity
    title: str
    fix: str


_ERRORS = {
    "unreadable-image": ("image that cannot be decoded", "restore the file, or remove it and its objects"),
    "damaged-annotation": ("annotation that cannot be read", "repair or remove it"),
    "missing-image": ("annotation without its image", "add the image, or remove the annotation"),
    "unread-kind": ("label whose image is of a kind that is not read", "save the image as PNG or JPEG"),
    "missing-annotation": ("listed image without annotation", "label it, or remove it from the split"),
    "unknown-id": ("object of an unknown image or class", "correct the id, or remove the object"),
    "repeated-id": ("id or name used twice", "renumber: each id must be unique"),
    "ambiguous-image": ("label that fits several images", "rename one of them, or name the image in the label file"),
    "misread-boxes": ("numbers that do not follow the format's box convention", "convert them to the format's"),
    "fractions": ("fractions where pixels are expected", "multiply by the image's width and height"),
    "pixels": ("pixels where fractions are expected", "divide by the image's width and height"),
    "not-finite": ("box with a number that is missing, infinite or NaN", "draw the box again"),
    "swapped-corners": ("box whose second corner comes first", "swap the corners"),
    "no-extent": ("box without width or height", "remove it, or draw it again"),
    "outside": ("box entirely outside its image", "remove it; check whether the image was resized"),
    "rotated": (
        "annotated size before the image's EXIF rotation",
        "correct the size; rotate boxes that do not fit the image",
    ),
    "wrong-size": (
        "annotated size that is not the image's",
        "correct the size; restore the image if its boxes do not fit",
    ),
    "other-objects": ("image whose objects differ in two label files, of which the first counts", "join them in one"),
    "damaged-mask": ("mask that cannot be read", "draw the mask again, or remove it"),
    "empty-mask": ("mask without a pixel", "draw the mask again, or remove it"),
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
    "unused-category": ("category without objects that repeats a name or groups the others", "remove it"),
    "no-object": ("object marked as deleted or to be ignored, which is left out", "remove it from the label file"),
    "no-box": ("point, line or skeleton, which has no box", "draw a box or a polygon around the object"),
    "shared-labels": ("label file of two images", "rename one image, and give each its labels"),
    "other-names": ("list of class names that is not the one in use", "see which one numbers the labels"),
    "only-crowds": ("class of which all objects are crowds, which are not learnt", "unset iscrowd of single objects"),
    "second-box": ("object with a second bndbox, which is not read", "make it an object of its own"),
    "unread-lists": ("lists of splits in a folder below, which are not used", "give that folder as the root"),
    "unread-link": ("linked folder, which is not searched", "copy the folder, or name it in the settings"),
    "unlabelled-image": ("image without annotation", "label it, or move it away"),
    "unlisted": ("annotation in no split", "add it to a split, or move it away"),
    "wrong-suffix": ("file of another type than its suffix", "rename it"),
    "dark-16-bit": (
        "16-bit image that is read as nearly black",
        "scale its samples to 16 bits, or save 8 bits",
    ),
    "several-frames": ("image of several frames, of which only the first is read", "save each as an image of its own"),
    "odd-size": ("image that is very small, long or large", "check whether it belongs here"),
    "rare-class": ("class with fewer than 10 objects", "label more of it, or leave it out"),
    "no-id": ("annotation without id", "number the annotations from 1: other tools need it"),
    "mask-outside": ("mask that reaches beyond its box", "correct the box or the mask: one may be another object's"),
    "self-crossing": ("polygon that crosses itself", "draw it again: what it covers is not clear"),
    "thin-mask": ("mask that covers under a twentieth of its box", "correct the box or the mask"),
    "mask-area": ("stated area that is not that of the mask", "compute the areas from the masks"),
    "no-mask": ("object without a mask, where others have one", "draw its mask; training on masks refuses it"),
    "crowd-without-mask": ("crowd without a mask", "add its mask, or unset iscrowd"),
}
_NOTES = {
    "dialect": ("label file in the way of another tool", "nothing, if it was understood rightly"),
}
FINDING_KINDS = {kind: FindingKind("error", *texts) for kind, texts in _ERRORS.items()} | {
    kind: FindingKind("warning", *texts) for kind, texts in _WARNINGS.items()
}
FINDING_KINDS |= {kind: FindingKind("note", *texts) for kind, texts in _NOTES.items()}


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

    @property
    def is_fault(self) -> bool:
        """Return True unless the finding only notes how labels were understood."""
        return FINDING_KINDS[self.kind].severity != "note"
