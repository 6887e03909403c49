"""detect config."""

from __future__ import annotations

from pathlib import Path

import click

from detect.cli import options
from detect.cli.group import Group
from detect.errors import UserError, nearest


@click.group("config", cls=Group, epilog="Example: detect config list")
def command() -> None:
    """The configurations that come with detect."""


@command.command("list", epilog="Example: detect config list")
def list_configs() -> None:
    """Their names, as --config takes them, and what each is for."""
    from detect.config.files import shipped_configs

    shipped = shipped_configs()
    width = max(map(len, shipped))
    for name, file in shipped.items():
        print(f"{name:{width}}  {_first_comment(file)}".rstrip())


@command.command(
    "show",
    short_help="Every setting of a configuration.",
    epilog="Example: detect config show faster_rcnn --set train.epochs=2",
)
@click.argument("name")
@options.settings
def show(name: str, overrides: tuple[str, ...]) -> None:
    """Every setting of the configuration NAME (or of a file), inherited ones, defaults and overrides included."""
    from detect.config.files import load_config, to_yaml

    file = Path(name) if Path(name).is_file() else _find(name)[1]
    print(to_yaml(load_config(file, overrides)), end="")


@command.command(
    "copy",
    short_help="Copy a configuration, to be changed.",
    epilog="Example: detect config copy faster_rcnn mine.yaml",
)
@click.argument("name")
@click.argument("target", metavar="[DST]", type=Path, default=Path())
def copy(name: str, target: Path) -> None:
    """Copy the configuration NAME to the file or folder DST [default: here], to be changed.

    One that inherits is written with all it inherits.
    """
    from detect.system.files import place_for_file, write_text

    shipped, source = _find(name)
    file = target / source.name if target.is_dir() else target
    if file.exists():
        raise UserError(f"{file}: expected a new file, found one that would be overwritten")
    write_text(place_for_file(file), _standing_alone(source))
    print(f"{file}: a copy of {shipped}; train with it: detect train --config {file}")


def _find(name: str) -> tuple[str, Path]:
    """The name and the file of a shipped configuration."""
    from detect.config.files import shipped_configs, shipped_name

    shipped, wanted = shipped_configs(), shipped_name(name)
    if wanted not in shipped:
        hint = nearest(wanted, shipped) or f"; known: {', '.join(shipped)}"
        raise UserError(f"{name}: expected a shipped configuration, found none of that name{hint}")
    return wanted, shipped[wanted]


def _first_comment(file: Path) -> str:
    """What the file says of itself in its first comment line; empty where it says nothing."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("#")), "")


def _standing_alone(file: Path) -> str:
    """The file's own text; where that needs a base, its leading comments and all settings."""
    from detect.config.files import load_config, to_yaml

    text = file.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    if not any(line.startswith("base:") for line in lines):
        return text
    header = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    return "".join(header) + to_yaml(load_config(file))
