"""Says what a user should know of the two splits, and counts what strict training refuses about them."""

from __future__ import annotations

from collections.abc import Mapping

from detect.config import DataConfig
from detect.config.builders.shared_images import SharedImages
from detect.config.builders.splits import describe_splits
from detect.data.annotations import Annotations
from detect.data.formats.split_names import guess_split


def split_notes(
    data: DataConfig, train: Annotations, val: Annotations, unused: Mapping[str, int], shared: SharedImages
) -> tuple[str, ...]:
    """Return the line on all splits, and lines on a split that shares images or has nothing to score."""
    notes = [describe_splits(data, train, val, unused), *shared.notes()]
    if len(val) and not len(val.boxes):
        notes.append(f"splits: the {len(val)} images to validate have no objects, so that there is no score")
    return tuple(notes)


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
