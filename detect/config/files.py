"""Reading configurations: YAML, inheritance, overrides, and errors that name the key."""

from __future__ import annotations

import re
import reprlib
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from detect.config import Config, as_plain
from detect.errors import UserError, nearest
from detect.system.files import existing_file, neighbour
from detect.system.yaml_files import Dumper, parse_yaml, read_yaml

SHIPPED = Path(__file__).parents[1] / "configs"
IN_CHECKOUT = Path(__file__).parents[2] / "configs"


def load_config(file: Path, overrides: Sequence[str] = ()) -> Config:
    """A configuration file with ``KEY=VALUE`` overrides; UserError names the file or the key."""
    settings = _read(_find(file), ())
    settings.setdefault("train", {"epochs": Config().train.epochs})  # so that an override leaves the length as it is
    return parse(merge_overrides(settings, overrides), str(file))


def parse(settings: dict[str, Any], where: str) -> Config:
    """Plain settings as a Config; the first thing wrong is a UserError that starts with ``where``."""
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error)}") from None


def merge_overrides(settings: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """``a.b=1`` sets settings["a"]["b"]; values are read as YAML."""
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise UserError(f"--set {override}: expected KEY=VALUE")
        try:
            parsed = parse_yaml(value)
        except ValueError:
            raise UserError(f"--set {override}: expected a YAML value, found {value}") from None
        nested: Any = parsed
        for part in reversed(key.split(".")):
            nested = {part: nested}
        settings = _merged(settings, nested)
    return settings


def changed(config: Config, overrides: Sequence[str]) -> Config:
    """A configuration with ``KEY=VALUE`` overrides."""
    return parse(merge_overrides(as_plain(config), overrides), "--set") if overrides else config


def to_yaml(config: Config) -> str:
    """The whole configuration as YAML that ``load_config`` reads back to an equal one."""
    return str(yaml.dump(as_plain(config), Dumper=Dumper, sort_keys=False, allow_unicode=True))


def shipped_folder() -> Path:
    """The folder of the shipped configurations: in the wheel, or in a checkout."""
    return SHIPPED if SHIPPED.is_dir() else IN_CHECKOUT


def shipped_configs() -> dict[str, Path]:
    """Files by name: the path below the folder of configurations without its suffix."""
    folder = shipped_folder()
    files = sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def shipped_name(name: str) -> str:
    """A name as ``shipped_configs`` has it: also as a path in a checkout is written."""
    return name.removeprefix("configs/").removesuffix(".yaml")


def _find(file: Path) -> Path:
    """The file itself, or the shipped configuration of that name."""
    shipped, name = shipped_configs(), shipped_name(file.as_posix())
    if not file.exists() and name in shipped:
        return shipped[name]
    if not file.exists():
        hint = nearest(name, shipped) or neighbour(file)
        raise UserError(
            f"{file}: expected a configuration file, found nothing{hint}; shipped ones: {', '.join(shipped)}"
        )
    return existing_file(file, "a configuration file")


def _read(file: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """A file's settings on top of those of its ``base``."""
    if file.resolve() in above:
        raise UserError(f"{file}: base: expected no circle, found {' -> '.join(p.name for p in (*above, file))}")
    settings = read_yaml(file, "a configuration file")
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise UserError(f"{file}: expected keys and values, found {type(settings).__name__}")
    base = settings.pop("base", None)
    if base is None:
        return settings
    return _merged(_read(existing_file(file.parent / str(base), "the base"), (*above, file.resolve())), settings)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``, section by section; of train.epochs and train.steps the upper one stands."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    lengths = {"epochs", "steps"}
    if len(lengths & above.keys()) == 1:
        for other in lengths - above.keys():
            result.pop(other, None)
    return result


def _explain(error: ValidationError) -> str:
    """One line: the key, what was expected, what was found."""
    # A union reports an error for each member; the one that got deepest is the one that was meant. Of errors at one
    # depth an unknown key comes first: a key that is missing may be the one mistyped.
    located = [(found, _keys(found["loc"], found["type"] == "extra_forbidden")) for found in error.errors()]
    first, path = max(located, key=lambda pair: (len(pair[1]), pair[0]["type"] == "extra_forbidden"))
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        section = _section_at(path[:-1])
        known = [] if section is None else list(section.model_fields)
        return f"{key}: unknown key{nearest(path[-1], known) or '; known: ' + ', '.join(known)}"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if first["type"] in ("model_type", "dict_type"):
        message = "expected keys and values"
    found = first["input"]
    if isinstance(found, dict):
        return f"{key}: {message}" if key else message
    expected = first.get("ctx", {}).get("expected", "")
    hint = nearest(str(found), re.findall(r"'([^']+)'", str(expected)))
    return f"{key}: {message}, found {reprlib.repr(found)}{hint}"


def _keys(location: Sequence[int | str], last_is_a_key: bool) -> list[str]:
    """Where an error is, as a user would write it: without pydantic's names for the members of a union."""
    keys: list[str] = []
    for place, part in enumerate(location):
        section = _section_at(keys)
        known = section is not None and part in section.model_fields
        if isinstance(part, int) or known or (last_is_a_key and place == len(location) - 1):
            keys.append(str(part))
    return keys


def _section_at(path: Sequence[str]) -> type[BaseModel] | None:
    """The section of Config that a path of keys leads to."""
    section: type[BaseModel] = Config
    for part in path:
        field = section.model_fields.get(part)
        inner = None if field is None else _section_in(field.annotation)
        if inner is None:
            return section if part.isdigit() else None
        section = inner
    return section


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section inside an annotation such as ``tuple[SourceConfig, ...] | str``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return next((found for found in map(_section_in, get_args(annotation)) if found), None)
    return None
