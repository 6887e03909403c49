"""Reads ``KEY=VALUE`` overrides, as the option ``--set`` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detect.config.config import Config
from detect.config.merge import DEFAULT_SPLIT_NAMES, deep_merge
from detect.errors import UserError, shorten
from detect.system.yaml_files import parse_yaml


def nest_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the settings of ``KEY=VALUE`` overrides alone, nested. Raises UserError."""
    settings: dict[str, Any] = {}
    for path, setting in map(parse_override, overrides):
        settings = deep_merge(settings, nest(path, setting))
    return settings


def parse_override(override: str) -> tuple[list[str], Any]:
    """Return the parts of the key, and the setting, of ``KEY=VALUE``. Raises UserError."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: expected KEY=VALUE")
    try:
        return key.split("."), parse_yaml(text)
    except ValueError:
        raise UserError(f"--set {override}: expected a YAML value, found {text}") from None


def nest(path: Sequence[str], setting: Any) -> dict[str, Any]:
    """Return the settings in which ``path`` leads to a setting."""
    *sections, name = path
    nested = {name: setting}
    for section in reversed(sections):
        nested = {section: nested}
    return nested


def refuse_splits_of_shapes(config: Config, overrides: Sequence[str]) -> None:
    """Raise UserError for another split than the built-in shapes have, if the overrides of ``config`` name one."""
    data = nest_overrides(overrides).get("data")
    if config.data.format != "shapes" or not isinstance(data, Mapping):
        return
    for key, default in DEFAULT_SPLIT_NAMES.items():
        if data.get(key, default) not in (default, None):
            raise UserError(
                f"data.{key}: expected no other split than {default} with data.format=shapes, as data.{key}_images is "
                f"the number of its images (data.format=auto reads a folder), found {shorten(data[key])}"
            )
