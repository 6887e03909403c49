"""Data settings that are left to the folder: its format, and its lists where none are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detect.config import Config, DataConfig
from detect.data.formats.detect_format import BOX_FORMATS, found_format, lists_of, traces
from detect.data.formats.split_names import split_of
from detect.data.formats.voc import WITHOUT_LISTS, images_without_xml
from detect.errors import UserError

FIFTH = 0.2  # of the images, for validation, where the folder says nothing
_DEFAULT = DataConfig()


def settled(config: Config) -> Config:
    """The same settings with nothing left to find out; they go into the run's folder.

    Where ``data.train`` or ``data.val`` is not set: the list of that name, else the only one, of which a fifth is for
    validation, else the only one with train or val in its name. Raises
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
    if listed is None:
        return data
    lists = lists_of(listed, root)
    found: dict[str, str | float] = {}
    if data.train == _DEFAULT.train:
        found["train"] = _of_role(lists, "train")
    if data.val == _DEFAULT.val:
        found["val"] = FIFTH if len(lists) == 1 else _of_role(lists, "val")
    return data.model_copy(update=found)


def _of_role(lists: Sequence[str], role: str) -> str:
    """The list of that name, else the only one, else the only one with that word in its name."""
    named = [name for name in lists if split_of(name) == role]
    candidates = lists if len(lists) == 1 else named
    return candidates[0] if role not in lists and len(candidates) == 1 else role


def without_labels(data: DataConfig) -> int:
    """How many images of the folder take no part, as nothing says what they show."""
    if data.format != "voc" or data.train != WITHOUT_LISTS:
        return 0
    return images_without_xml(Path(data.root))


def _refuse_another_format(data: DataConfig, root: Path) -> None:
    """What the settings name is looked for by its reader; here only what is certain."""
    found = traces(root)
    if len(found) == 1 and data.format not in found:
        name, sign = next(iter(found.items()))
        raise UserError(f"data.format: expected {name}, as {root} has {sign}, found {data.format}")
