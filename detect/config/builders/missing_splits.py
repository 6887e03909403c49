"""Says which splits a folder has, where the settings name one that it does not have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detect.config import DataConfig
from detect.config.builders.resolve import SplitKey
from detect.config.overrides import nest_overrides
from detect.data.formats.detect_format import BOX_FORMATS
from detect.data.formats.read_folder import list_splits
from detect.data.formats.split_names import choose_split
from detect.errors import UserError, did_you_mean

_SUFFIXES = ("", ".json", ".csv", ".xml")  # of annotation files, which a setting may name by a path


def describe_missing_split(data: DataConfig, key: SplitKey, origin: str = "") -> str | None:
    """Return the message on a split that the folder does not have; None where it has it, or has no splits.

    data: the resolved settings; key: of the setting that names the split; origin: words on where the name is from.
    """
    name, root = getattr(data, key), Path(data.root)
    box_format = next((known for known in BOX_FORMATS if known == data.format), None)
    if box_format is None or not isinstance(name, str):
        return None
    try:
        names = list_splits(box_format, root, data.encoding)
    except UserError:
        return None
    files = [*(root / f"{name}{suffix}" for suffix in _SUFFIXES), root / "ImageSets" / "Main" / f"{name}.txt"]
    if not names or name in names or any(file.exists() for file in files):
        return None
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    candidates = choose_split(names, key) or names
    hint = "" if origin else did_you_mean(name, names)  # the model's own name is no typing error
    cure = hint or f": --set data.{key}={candidates[0] if len(candidates) == 1 else 'NAME'}"
    if key == "val" and not hint and candidates == [data.train]:
        cure = f"{cure} scores on all of it, and without data.val a fifth of it validates"
    return f"data.{key}: expected a split of {root}, which has {listed}, found {name}{origin}{cure}"


def split_origin(key: SplitKey, overrides: Sequence[str]) -> str:
    """Return the words on a split that ``KEY=VALUE`` overrides do not name: it is of the model's settings."""
    return "" if key in (nest_overrides(overrides).get("data") or {}) else ", which is of the model's settings"
