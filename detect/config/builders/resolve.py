"""Resolve data settings from the folder: the format auto, and splits that are not named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from detect.config import Config, DataConfig
from detect.config.merge import DEFAULT_SPLIT_NAMES, DEFAULT_VAL_FRACTION
from detect.data.formats.detect_format import BOX_FORMATS, detect_format, format_signs
from detect.data.formats.read_folder import list_splits
from detect.data.formats.split_names import choose_split, guess_split, split_role
from detect.errors import UserError

SplitKey = Literal["train", "val"]  # of the setting that names a split


def resolve(config: Config) -> Config:
    """Return the settings with format and splits resolved from the folder, as they are written to the run folder.

    A ``data.train`` that is not set becomes the split that stands for training by its name (train, train2017, Training,
    else trainval), else the only split that stands for nothing else. A ``data.val`` that is not set becomes the split
    for validation (val, valid, dev), else a fifth of the training split: never a split for testing, because the best
    weights are chosen by validation. Raises UserError if the format or a split is in doubt, or if the format plainly
    differs from the one that is set.
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
    is_train_set, is_val_set = _is_set(data, "train"), _is_set(data, "val")
    splits = _list_splits(data, root)
    if not splits or (is_train_set and is_val_set):
        return data
    train = data.train if is_train_set else _choose_train(splits, root)
    return data.model_copy(
        update={"train": train, "val": data.val if is_val_set else _choose_val(splits, str(train), root)}
    )


def _is_set(data: DataConfig, key: SplitKey) -> bool:
    """Return whether a split is named: by another name than the default one, or by that name for this folder."""
    return getattr(data, key) != DEFAULT_SPLIT_NAMES[key] or key in data.model_fields_set


def choose_splits(splits: Sequence[str], root: Path) -> tuple[str, str | float]:
    """Return (train, val) of a folder's splits where neither is set; val is a fraction of train without one for it.

    Raises UserError if a split is in doubt.
    """
    train = _choose_train(splits, root)
    return train, _choose_val(splits, train, root)


def _list_splits(data: DataConfig, root: Path) -> list[str]:
    """Return the splits of a folder; of class folders those folders that have a role, if one is for training."""
    box_format = next((name for name in BOX_FORMATS if name == data.format), None)
    if box_format is not None:
        return list_splits(box_format, root, data.encoding)
    if data.format != "folders":
        return []
    folders = [path.name for path in sorted(root.iterdir()) if path.is_dir() and split_role(path.name)]
    return folders if choose_split(folders, "train") else []


def _choose_train(splits: Sequence[str], root: Path) -> str:
    """Return the split to train on. Raises UserError if none or several may be meant."""
    others = [name for name in splits if guess_split(name) not in ("val", "test")]
    groups = (
        choose_split(splits, "train"),
        choose_split(splits, "trainval"),
        others,
        splits if len(splits) == 1 else [],
    )
    candidates = next((group for group in groups if group), [])
    if len(candidates) == 1:
        return candidates[0]
    raise UserError(
        f"data.train: expected one split for training in {root}, found {_join(candidates or splits)}: name one by "
        "data.train, and one for validation by data.val"
    )


def _choose_val(splits: Sequence[str], train: str, root: Path) -> str | float:
    """Return the split to validate on, else a fraction of ``train``. Raises UserError if several may be meant."""
    candidates = choose_split([name for name in splits if name != train], "val")
    if not candidates or guess_split(train) == "trainval":  # which contains the split for validation
        return DEFAULT_VAL_FRACTION
    if len(candidates) == 1:
        return candidates[0]
    raise UserError(
        f"data.val: expected one split for validation in {root}, found {_join(candidates)}: name one by data.val"
    )


def _join(names: Sequence[str]) -> str:
    """Return the first names as text."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _require_format(data: DataConfig, root: Path) -> None:
    """Raise UserError if the folder has the signs of exactly one format, and it is not the one that is set."""
    signs = format_signs(root)
    if len(signs) == 1 and data.format not in signs:
        name, sign = next(iter(signs.items()))
        raise UserError(
            f"data.format: expected {name}, as {root} has {sign}, found {data.format}: --set data.format={name}"
        )
