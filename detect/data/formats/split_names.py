"""The names of splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def split_folders(first_folders: Iterable[str | None]) -> list[str]:
    """Return the folders, each a split, of images in these folders; none if one of them is named for no split.

    A folder of cars beside one of trains is no split, and a folder for testing alone is none either.
    """
    names = sorted({name for name in first_folders if name is not None})
    splits = {guess_split(name) for name in names}
    return names if None not in splits and not splits <= {"test"} else []
