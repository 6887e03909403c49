"""Data settings that are left to the folder: its format, and its lists where none are named."""

from __future__ import annotations

from pathlib import Path

from detect.config import Config, DataConfig
from detect.data.formats import BOX_FORMATS, found_format, lists_of, traces
from detect.errors import UserError

FIFTH = 0.2  # of the photos, for validation, where the folder says nothing
_DEFAULT = DataConfig()


def settled(config: Config) -> Config:
    """The same settings with nothing left to find out; they go into the run's folder.

    A folder with one list, and neither ``data.train`` nor ``data.val`` set: that list, a fifth split off. Raises
    UserError where the folder's format is in doubt, or plainly not the one that is set.
    """
    return config.model_copy(update={"data": settled_data(config.data)})


def settled_data(data: DataConfig) -> DataConfig:
    """As ``settled``, for the settings of the data alone."""
    if not isinstance(data.train, str) or not Path(data.root).is_dir():
        if data.format == "auto":
            raise UserError(f"data.format: expected data.root to be a folder with auto, found {data.root}")
        return data
    root = Path(data.root)
    if data.format == "auto":
        data = data.model_copy(update={"format": found_format(root)})
    elif data.format != "folders":
        _refuse_another_format(data, root)
    listed = next((name for name in BOX_FORMATS if name == data.format), None)
    if listed is None or (data.train, data.val) != (_DEFAULT.train, _DEFAULT.val):
        return data
    lists = lists_of(listed, root)
    return data.model_copy(update={"train": lists[0], "val": FIFTH}) if len(lists) == 1 else data


def _refuse_another_format(data: DataConfig, root: Path) -> None:
    """What the settings name is looked for by its reader; here only what is certain."""
    found = traces(root)
    if len(found) == 1 and data.format not in found:
        name, sign = next(iter(found.items()))
        raise UserError(f"data.format: expected {name}, as {root} has {sign}, found {data.format}")
