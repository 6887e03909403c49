"""Read the configuration files of ``detect describe train``, as ``files`` reads those of detectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detect.config import Config
from detect.config.describe import DescribeConfig
from detect.config.files import DESCRIBE_KEY, load_config, merge_overrides, read_settings
from detect.config.setting_errors import format_error
from detect.errors import UserError


def load_describe_config(file: Path, overrides: Sequence[str] = ()) -> DescribeConfig:
    """Return the settings of a file with ``KEY=VALUE`` overrides.

    file: a path, or the name of a built-in configuration. Raises UserError, which names the file or the key.
    """
    settings = read_settings(file)
    if {"model", "train"} & settings.keys():
        raise UserError(f"{file}: expected settings of detect describe train, found those of a detector")
    return parse_describe_config(merge_overrides(settings, overrides, DescribeConfig), str(file))


def parse_describe_config(settings: dict[str, Any], source: str) -> DescribeConfig:
    """Return nested settings as a DescribeConfig. Raises UserError, whose message starts with ``source``."""
    try:
        return DescribeConfig.model_validate(settings)
    except ValidationError as error:
        raise UserError(f"{source}: {format_error(error, DescribeConfig)}") from None


def load_any_config(file: Path, overrides: Sequence[str] = ()) -> Config | DescribeConfig:
    """Return the settings of a file of either kind, for commands that show or copy files. Raises UserError."""
    is_describe = DESCRIBE_KEY in read_settings(file)
    return load_describe_config(file, overrides) if is_describe else load_config(file, overrides)
