"""Says what a user should know of the two splits, and counts what strict training refuses about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detect.config import DataConfig
from detect.config.builders.shared_images import SharedImages
from detect.config.builders.splits import describe_splits
from detect.data.annotations import Annotations
from detect.data.findings import DatasetFinding
from detect.data.formats.report import summarize
from detect.data.formats.split_names import guess_split
from detect.data.usage import data_usage, skipped_images


def split_notes(
    data: DataConfig, train: Annotations, val: Annotations, unused: Mapping[str, int], shared: SharedImages
) -> tuple[str, ...]:
    """Return the line on all splits, and lines on a split that shares images or has nothing to score."""
    notes = [describe_splits(data, train, val, unused), *shared.notes()]
    if len(val) and not len(val.boxes):
        notes.append(f"splits: the {len(val)} images to validate have no objects, so that there is no score")
    return tuple(notes)


def usage_notes(parts: Sequence[Annotations], findings: Sequence[DatasetFinding]) -> tuple[str, ...]:
    """Return the lines on the boxes of a split that is scored: their counts, and the first that is dropped.

    parts: the split, or both parts of the one that it was cut from, of which a dropped box does not say its part. There
    are no lines where all boxes are kept.
    """
    usage = data_usage(parts, findings)
    dropped = [box for part in parts for box in part.dropped]
    if not dropped and not usage.clipped:
        return ()
    scope = " (of both parts of the split)" if len(parts) > 1 else ""
    lines = [f"{usage}{scope}"]
    if dropped:
        lines.append(f"dropped, and not used: {dropped[0]}{' ...' if sum(usage.dropped.values()) > 1 else ''}")
    if usage.clipped:
        lines.append("clipped: boxes that reach outside their image, which only training clips")
    return tuple(lines)


def note_findings(
    data: DataConfig, parts: Sequence[Annotations], findings: Sequence[DatasetFinding]
) -> tuple[str, ...]:
    """Return a line for each kind of what the readers noted."""
    files = {part.file(index) for part in parts for index in range(len(part))} if findings else set()
    skipped = skipped_images(findings, files)
    lines = summarize([finding for finding in findings if finding not in skipped])
    if skipped:
        labels = {"labelme": "JSON file", "label-studio": "annotation", "folders": "folder of a class"}
        missing = labels.get(data.format, "XML file")
        cure = "move each into one" if data.format == "folders" else "detect data inspect"
        lines.append(f"{len(skipped)} images of {data.root} have no {missing} and are not used: {cure}")
    return tuple(lines)


def strict_counts(num_images: int, shared: SharedImages, unused: Mapping[str, int], split_anew: bool) -> dict[str, int]:
    """Return the counts, above 0, of what strict training refuses about the splits.

    These are images of splits that are ignored, images of both splits, copies of images of the other split, and those
    of a split that was cut in two without being asked for, though the folder has splits. A split for testing is set
    aside, and not ignored.
    """
    counts = {
        "image of a split that is not used": sum(unused[name] for name in unused if guess_split(name) != "test"),
        "image to train on and to validate": shared.num_same,
        "image to validate that is a copy of one to train on": len(shared.copies),
        "image of a split that is cut in two (data.val=0.2 asks for it)": num_images * split_anew,
    }
    return {title: count for title, count in counts.items() if count}


def describe_empty_val(data: DataConfig, num_train: int) -> str:
    """Return the message for a validation split without images."""
    cure = "or train without validation: train.validate_every=null"
    if not isinstance(data.val, float | int):
        return f"data.val: expected at least one image, found none in {data.root}: name another split, {cure}"
    if data.val == 0:
        return f"data.val: expected a split, or a fraction above 0, found 0: set it, {cure}"
    return f"data.val: expected at least two images to split, found {num_train} in {data.root}: add images, {cure}"
