"""Merges nested settings, and keeps the names of splits only for the folder that they were given for."""

from __future__ import annotations

from collections.abc import Mapping
from os.path import expanduser, realpath
from typing import Any

from detect.config.config import Config, to_dict

# Names of DataConfig that count as not set unless they are given for its folder.
DEFAULT_SPLIT_NAMES = {"train": "train", "val": "val"}
DEFAULT_VAL_FRACTION = 0.2  # of the images, for validation, if the folder has no split for it


def deep_merge(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Return ``upper`` merged over ``lower``, section by section.

    Of train.epochs and train.steps the one that ``upper`` sets replaces the other; null sets none.
    """
    merged = dict(lower)
    for key, setting in upper.items():
        section = merged.get(key)
        merged[key] = (
            deep_merge(section, setting) if isinstance(section, dict) and isinstance(setting, dict) else setting
        )
    lengths = {"epochs", "steps"}
    if len({length for length in lengths if upper.get(length) is not None}) == 1:
        for other in lengths - upper.keys():
            merged.pop(other, None)
    return merged


def data_root(settings: Mapping[str, Any]) -> str | None:
    """Return data.root of nested settings, None where they do not set it."""
    data = settings.get("data")
    root = data.get("root") if isinstance(data, Mapping) else None
    return None if root is None else str(root)


def without_splits_of_other_root(settings: dict[str, Any], root: str | None) -> dict[str, Any]:
    """Return settings that are to be merged under others with the data.root ``root``, None for no other.

    The names data.train=train and data.val=val, which are the defaults, were given for the folder of ``settings``, or
    were found in it, as was the default fraction for validation: for another folder they are removed, so that they
    count as not set. Other names stay; beside another name for training that for validation stays too.
    """
    old_root = data_root(settings)
    if root is None or old_root is None or _real_path(old_root) == _real_path(root):
        return settings
    data = dict(settings["data"])
    if data.get("train", DEFAULT_SPLIT_NAMES["train"]) == DEFAULT_SPLIT_NAMES["train"]:
        data.pop("train", None)
        if data.get("val") in (DEFAULT_SPLIT_NAMES["val"], DEFAULT_VAL_FRACTION):
            del data["val"]
    return settings | {"data": data}


def _real_path(folder: str) -> str:
    """Return the path of a folder without links, as far as it can be followed."""
    return realpath(expanduser(folder))  # noqa: PTH111 - Path.expanduser raises an error for an unknown user


def settings_to_merge(config: Config) -> dict[str, Any]:
    """Return all settings of a configuration, without splits that are not set, as nested dicts and plain values."""
    settings = to_dict(config)
    for key in DEFAULT_SPLIT_NAMES.keys() - config.data.model_fields_set:
        del settings["data"][key]
    return settings
