"""Tells folders of masks from folders of photos that are named like them, such as ``with_mask``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

# Words in the names of folders whose files have the stems of the images, but show masks: masks/, SegmentationObject/.
_MASK_WORDS = ("mask", "segmentation", "semantic", "panoptic")


def is_named_for_masks(name: str) -> bool:
    """Return True for the name of a folder of masks."""
    return any(word in name.lower() for word in _MASK_WORDS)


def holds_masks(folder: PurePath, images: Sequence[Path], is_labelled: Callable[[Path], bool]) -> bool:
    """Return True for a folder that is, or lies in one, named for masks, and of whose images none is labelled.

    folder: as it lies in the folder that is searched.
    """
    return any(map(is_named_for_masks, folder.parts)) and not any(map(is_labelled, images))
