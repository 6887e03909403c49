"""The names of splits."""

from __future__ import annotations

from collections.abc import Mapping

ONLY_SPLIT = "train"  # the name of the one split of a folder that lists none


def guess_split(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` if the name contains exactly one of them, else None.

    The name trainval contains two of them.
    """
    lowered = name.lower()
    contained: Mapping[str, bool] = {split: split in lowered for split in ("train", "val", "test")}
    splits = [split for split, is_contained in contained.items() if is_contained]
    return splits[0] if len(splits) == 1 else None
