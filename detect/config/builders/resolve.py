"""Resolve data settings from the folder: the format auto, and splits that are not named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detect.config import Config, DataConfig
from detect.data.formats.detect_format import BOX_FORMATS, detect_format, format_signs
from detect.data.formats.read_folder import list_splits
from detect.data.formats.split_names import guess_split
from detect.errors import UserError

DEFAULT_VAL_FRACTION = 0.2  # of the images, for validation, if the folder has no split for it
_DEFAULT = DataConfig()


def resolve(config: Config) -> Config:
    """Return the settings with format and splits resolved from the folder, as they are written to the run folder.

    A ``data.train`` or ``data.val`` that is not set becomes the split of that name; else the only split, of which a
    fifth is for validation; else the only split with train or val in its name. Raises UserError if the format is in
    doubt, or plainly differs from the one that is set.
    """
    return config.model_copy(update={"data": resolve_data(config.data)})


def resolve_data(data: DataConfig) -> DataConfig:
    """Return the data settings resolved as ``resolve`` does. Raises UserError."""
    if not isinstance(data.train, str) or not Path(data.root).is_dir():
        if data.format == "auto":
            raise UserError(f"data.format: expected data.root to be a folder with auto, found {data.root}")
        return data
    root = Path(data.root)
    if data.format == "auto":
        data = data.model_copy(update={"format": detect_format(root)})
    elif data.format != "folders":
        _require_format(data, root)
    box_format = next((name for name in BOX_FORMATS if name == data.format), None)
    if box_format is None:
        return data
    splits = list_splits(box_format, root, data.encoding)
    resolved: dict[str, str | float] = {}
    if data.train == _DEFAULT.train:
        resolved["train"] = _split_named(splits, "train")
    if data.val == _DEFAULT.val:
        resolved["val"] = DEFAULT_VAL_FRACTION if len(splits) == 1 else _split_named(splits, "val")
    return data.model_copy(update=resolved)


def _split_named(splits: Sequence[str], role: str) -> str:
    """Return the split named ``role``, else the only split, else the only one whose name contains ``role``."""
    candidates = splits if len(splits) == 1 else [name for name in splits if guess_split(name) == role]
    return candidates[0] if role not in splits and len(candidates) == 1 else role


def _require_format(data: DataConfig, root: Path) -> None:
    """Raise UserError if the folder has the signs of exactly one format, and it is not the one that is set."""
    signs = format_signs(root)
    if len(signs) == 1 and data.format not in signs:
        name, sign = next(iter(signs.items()))
        raise UserError(f"data.format: expected {name}, as {root} has {sign}, found {data.format}")
