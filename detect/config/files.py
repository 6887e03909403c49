"""Read and write configuration files: YAML, inheritance and overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from detect.config import Config, ConfigModel, to_dict
from detect.config.merge import data_root, deep_merge, settings_to_merge, without_splits_of_other_root
from detect.config.overrides import nest, nest_overrides, parse_override
from detect.config.renamed import RENAMED_KEYS, rename_settings
from detect.config.setting_errors import format_error, section_at, section_in
from detect.errors import UserError, did_you_mean
from detect.system.files import require_file, suggest_path
from detect.system.yaml_files import Dumper, read_yaml

PACKAGED_FOLDER = Path(__file__).parents[1] / "configs"
CHECKOUT_FOLDER = Path(__file__).parents[2] / "configs"
DESCRIBE_KEY = "detector"


def load_config(file: Path, overrides: Sequence[str] = ()) -> Config:
    """Return the settings of a file with ``KEY=VALUE`` overrides.

    file: a path, or the name of a built-in configuration. Raises UserError, which names the file or the key.
    """
    settings = read_settings(file)
    if DESCRIBE_KEY in settings:
        raise UserError(f"{file}: expected settings of a detector, found those of detect describe train")
    return _parse_with_overrides(settings, overrides, str(file))


def default_config(overrides: Sequence[str]) -> Config:
    """Return the settings of ``KEY=VALUE`` overrides alone, as of a file without a key. Raises UserError."""
    return _parse_with_overrides({}, overrides, "--set")


def _parse_with_overrides(settings: dict[str, Any], overrides: Sequence[str], source: str) -> Config:
    """Return nested settings with overrides as a Config: what neither sets has the default that follows from the rest.

    Raises UserError, whose message starts with ``source``.
    """
    settings.setdefault("train", {"epochs": Config().train.epochs})  # an override of another key keeps this length
    return parse_config(merge_overrides(settings, overrides), source)


def read_settings(file: Path) -> dict[str, Any]:
    """Return the settings of a file or a built-in configuration, merged over those of its ``base``. Raises UserError.

    Those of ``detect describe train`` have the key ``DESCRIBE_KEY``; those of a detector have it never.
    """
    return _read_with_base(_find_file(file), ())


def parse_config(settings: dict[str, Any], source: str) -> Config:
    """Return nested settings as a Config. Keys and values of older versions are read, and named on stderr.

    Raises UserError for the first mistake; its message starts with ``source``.
    """
    try:
        return Config.model_validate(rename_settings(settings, source))
    except ValidationError as error:
        raise UserError(f"{source}: {format_error(error)}") from None


def merge_overrides(
    settings: dict[str, Any], overrides: Sequence[str], root: type[BaseModel] = Config
) -> dict[str, Any]:
    """Return settings where ``a.b=1`` has set settings["a"]["b"], in the order of the overrides.

    Values are read as YAML; null is the default of a setting of ``root`` that has no null. Raises UserError for an
    override that is not KEY=VALUE.
    """
    settings = without_splits_of_other_root(settings, data_root(nest_overrides(overrides)))
    for path, setting in map(parse_override, overrides):
        settings = deep_merge(settings, rename_settings(nest(path, setting), "--set"))
        if setting is None:
            _drop_null(root, settings, path)
    return settings


def _drop_null(root: type[BaseModel], settings: dict[str, Any], path: Sequence[str]) -> None:
    """Remove a setting that is null and may not be, so that it has its default: data.train=null is data.train=train."""
    old_key = ".".join(path)
    path = RENAMED_KEYS.get(old_key, old_key).split(".")
    section = section_at(root, path[:-1])
    field = None if section is None else section.model_fields.get(path[-1])
    if field is None or type(None) in get_args(field.annotation) or section_in(field.annotation) == field.annotation:
        return
    for part in path[:-1]:
        settings = settings[part]
    settings.pop(path[-1], None)


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """Return the configuration with ``KEY=VALUE`` overrides. Raises UserError."""
    return parse_config(merge_overrides(settings_to_merge(config), overrides), "--set") if overrides else config


def to_yaml(config: ConfigModel) -> str:
    """Return all settings as YAML, which ``load_config`` (of a detector) reads back to an equal configuration."""
    return settings_yaml(to_dict(config))


def dotted_keys(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each of nested settings with its full key, ``train.lr``."""
    for key, setting in settings.items():
        if isinstance(setting, Mapping):
            yield from dotted_keys(setting, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", setting


def settings_yaml(settings: Mapping[str, Any]) -> str:
    """Return nested settings as YAML."""
    return str(yaml.dump(dict(settings), Dumper=Dumper, sort_keys=False, allow_unicode=True))


def builtin_folder() -> Path:
    """Return the folder of the built-in configurations: in the installed package, else in the checkout."""
    return PACKAGED_FOLDER if PACKAGED_FOLDER.is_dir() else CHECKOUT_FOLDER


def builtin_configs() -> dict[str, Path]:
    """Return the built-in configuration files by name: the path below their folder without the suffix."""
    folder = builtin_folder()
    files = sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def builtin_name(name: str) -> str:
    """Return the name in the form of ``builtin_configs``; a path such as configs/rcnn.yaml is accepted."""
    return name.removeprefix("configs/").removesuffix(".yaml")


def _find_file(file: Path) -> Path:
    """Return the file itself, or the built-in configuration of that name."""
    builtin, name = builtin_configs(), builtin_name(file.as_posix())
    if not file.exists() and name in builtin:
        return builtin[name]
    if not file.exists():
        hint = did_you_mean(name, builtin) or suggest_path(file)
        raise UserError(
            f"{file}: expected a configuration file, found nothing{hint}; built-in ones: {', '.join(builtin)}"
        )
    return require_file(file, "a configuration file")


def _read_with_base(file: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """Return the settings of a file merged over those of its ``base``; children: the files that inherit from it."""
    if file.resolve() in children:
        raise UserError(f"{file}: base: expected no circle, found {' -> '.join(p.name for p in (*children, file))}")
    settings = read_yaml(file, "a configuration file")
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise UserError(f"{file}: expected keys and values, found {type(settings).__name__}")
    settings = rename_settings(settings, str(file))
    base = settings.pop("base", None)
    if base is None:
        return settings
    base_file = require_file(file.parent / str(base), "the base")
    inherited = _read_with_base(base_file, (*children, file.resolve()))
    return deep_merge(without_splits_of_other_root(inherited, data_root(settings)), settings)
