"""A page of every command, from click: what it does, its arguments and options, an example."""

from __future__ import annotations

from collections.abc import Iterator

import click

from detect.cli.main import main

INTRODUCTION = """\
# Commands

`detect COMMAND --help` prints the same in a terminal. Before the command stands `--debug`, which shows the traceback of
an error (`detect --debug train ...`). The exit status is 0 for success, 1 if all or part of the work failed, and 2 for
a mistake in the command or its files; a command whose statuses mean something else says so below.

`MODEL` is a detector: the folder of a run, a checkpoint (`best.pt`), a name of `detect model zoo` such as
`detect/voc_faster_rcnn`, or a `.safetensors`, `.onnx` or `.xml` file that `detect model export` wrote.
"""


def walk(command: click.Command = main, path: str = "detect") -> Iterator[tuple[str, click.Command]]:
    """Yield every command and group below ``command`` with its full name, in the order of the help."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from walk(inner, f"{path} {name}")


def command_page() -> str:
    """Return the page."""
    texts = [INTRODUCTION.strip()]
    for path, command in walk():
        if path != "detect":
            texts.append(command_text(path, command))
    return "\n\n".join(texts) + "\n"


def command_text(path: str, command: click.Command) -> str:
    """Return the section of a command: usage, help, a table of its options, its example."""
    context = click.Context(command, info_name=path)
    level = "##" if path.count(" ") == 1 else "###"
    lines = [f"{level} {path} {{ #{path.replace(' ', '-')} }}", _help(command)]
    if not isinstance(command, click.Group):
        lines.insert(1, f"    {command.get_usage(context).removeprefix('Usage: ')}")
        options = [record for parameter in command.params if (record := parameter.get_help_record(context))]
        rows = [f"| `{option}` | {_escape(help_text)} |" for option, help_text in options if "--help" not in option]
        if rows:
            lines.append("\n".join(["| option | what |", "|---|---|", *rows]))
    if command.epilog:
        lines.append("Example:\n\n    " + command.epilog.removeprefix("Example: "))
    return "\n\n".join(lines)


def _help(command: click.Command) -> str:
    """Return the help text in paragraphs; one marked with \\b keeps its lines."""
    paragraphs = (command.help or "").replace("<", "&lt;").split("\n\n")
    texts = []
    for paragraph in paragraphs:
        text = paragraph.strip("\n")
        if text.startswith("\b"):
            texts.append("\n".join(f"    {line.strip()}" for line in text.removeprefix("\b").strip("\n").splitlines()))
        else:
            texts.append(" ".join(text.split()))
    return "\n\n".join(texts)


def _escape(text: str) -> str:
    """Return text that a cell of a table can hold."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
