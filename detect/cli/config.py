"""The command ``detect config``."""

from __future__ import annotations

import itertools
from pathlib import Path

import click

from detect.cli import options
from detect.cli.group import Group
from detect.errors import UserError, did_you_mean


@click.group("config", cls=Group, epilog="Example: detect config list")
def config_command() -> None:
    """List, show and copy the configurations that come with detect."""


@config_command.command("list", epilog="Example: detect config list")
def list_configs() -> None:
    """List the names, as --config takes them, and the purpose of each configuration."""
    from detect.config.files import builtin_configs

    configs = builtin_configs()
    width = max(map(len, configs))
    for name, file in configs.items():
        print(f"{name:{width}}  {_first_comment(file)}".rstrip())


@config_command.command(
    "show",
    short_help="Print every setting of a configuration.",
    epilog="Example: detect config show faster_rcnn --set train.epochs=2",
)
@click.argument("name")
@options.settings
def show(name: str, overrides: tuple[str, ...]) -> None:
    """Print every setting of the configuration NAME (or of a file): inherited ones, defaults and overrides included.

    If the folder of the data exists, its format and splits are those that a training would use.
    """
    from detect.config import Config
    from detect.config.builders.resolve import resolve
    from detect.config.describe_files import load_any_config
    from detect.config.files import to_yaml

    file = Path(name) if Path(name).is_file() else require_builtin(name)[1]
    config = load_any_config(file, overrides)
    if isinstance(config, Config) and Path(config.data.root).is_dir():
        config = resolve(config)
    print(to_yaml(config), end="")


@config_command.command(
    "copy",
    short_help="Copy a configuration to edit it.",
    epilog="Example: detect config copy faster_rcnn mine.yaml",
)
@click.argument("name")
@click.argument("target", metavar="[DST]", type=Path, default=Path())
def copy(name: str, target: Path) -> None:
    """Copy the configuration NAME to the file or folder DST [default: the current folder] to edit it.

    A configuration that inherits is written with all inherited settings.
    """
    from detect.config import Config
    from detect.config.describe_files import load_any_config
    from detect.system.files import require_writable_file, write_text

    builtin, source = require_builtin(name)
    file = target / source.name if target.is_dir() else target
    if file.exists():
        raise UserError(f"{file}: expected a new file, found one that exists")
    write_text(require_writable_file(file), _without_base(source))
    command = "detect train" if isinstance(load_any_config(source), Config) else "detect describe train"
    print(f"{file}: a copy of {builtin}; train with it: {command} --config {file}")


def require_builtin(name: str) -> tuple[str, Path]:
    """Return the name and the file of a built-in configuration."""
    from detect.config.files import builtin_configs, builtin_name

    configs, builtin = builtin_configs(), builtin_name(name)
    if builtin not in configs:
        hint = did_you_mean(builtin, configs) or f"; known: {', '.join(configs)}"
        raise UserError(f"{name}: expected a built-in configuration, found none of that name{hint}")
    return builtin, configs[builtin]


def _first_comment(file: Path) -> str:
    """Return the first comment line of the file, which describes it; empty if there is none."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("#")), "")


def _without_base(file: Path) -> str:
    """Return the text of the file; if it inherits from a base, its leading comments and the settings of both.

    Settings that neither file sets are left out: they have defaults, and some of these depend on model.kind.
    """
    from detect.config.files import read_settings, settings_yaml

    text = file.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    if not any(line.startswith("base:") for line in lines):
        return text
    header = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    return "".join(header) + settings_yaml(read_settings(file))
