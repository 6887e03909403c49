"""The command line that repeats a run, as a page with its results states it."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path

import click
from click.core import ParameterSource


def repeat_command(command: str, leave_out: Collection[str]) -> str:
    """Return ``command`` with the arguments and options that the user gave to the command that runs now.

    leave_out: parameters that do not change the results, as the files to write. Paths name no folder of this machine.
    """
    context = click.get_current_context()
    texts = [command]
    for parameter in context.command.params:
        name = str(parameter.name)
        if name not in leave_out and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            texts += _parameter_texts(parameter, context.params[name])
    return " ".join(texts)


def portable_path(path: Path) -> str:
    """Return a path that names no folder of this machine: relative, or the last three parts of an absolute one."""
    if path.is_absolute() and not path.is_relative_to(Path.cwd()):
        return str(Path(*path.parts[-3:]))
    return str(path.relative_to(Path.cwd()) if path.is_absolute() else path)


def _parameter_texts(parameter: click.Parameter, value: object) -> list[str]:
    """Return the texts that give ``parameter`` this value: an option with its flag, once for each of its values."""
    values = [_quote(part) for part in (value if isinstance(value, tuple) else (value,))]
    if not isinstance(parameter, click.Option):
        return values
    flag = parameter.opts[0]
    return [flag] if parameter.is_flag else [f"{flag} {text}" for text in values]


def _quote(value: object) -> str:
    """Return a value as a shell reads it, an absolute path as a portable one."""
    text = str(value)
    return shlex.quote(portable_path(Path(text)) if Path(text).is_absolute() else text)
