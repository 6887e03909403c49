"""The names of splits."""

from __future__ import annotations

from collections.abc import Mapping

ONLY_SPLIT = "train"  # the name of the one split of a folder that lists none
ROBOFLOW_FILES = ("_annotations.coco", "_annotations")  # without suffix: COCO, CSV; in a folder named for the split


def guess_split(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` if the name contains exactly one of them, else None.

    The name trainval contains two of them. Of a path the last part counts, or the folder of Roboflow's files.
    """
    folder, _, file = name.lower().rpartition("/")
    lowered = folder.rpartition("/")[2] if file in ROBOFLOW_FILES else file
    contained: Mapping[str, bool] = {split: split in lowered for split in ("train", "val", "test")}
    splits = [split for split, is_contained in contained.items() if is_contained]
    return splits[0] if len(splits) == 1 else None
