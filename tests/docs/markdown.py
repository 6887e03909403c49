"""The pages of the documentation, and what stands in them: code blocks, commands, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click

from detect.cli.main import main
from tools.build_docs import reference_pages

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")),
    *(file for file in sorted((ROOT / "docs").rglob("*.md")) if "reference" not in file.relative_to(ROOT).parts),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def made_pages() -> dict[str, str]:
    """The pages of docs/reference by name, made once for all tests."""
    return reference_pages()


class Block(NamedTuple):
    """A block of code. language: what stands after the ticks, empty for an indented block; page: below the root."""

    page: str
    language: str
    text: str


def blocks(text: str, page: str) -> list[Block]:
    """The fenced blocks of a page in Markdown, then the indented ones."""
    fenced = [Block(page, match[1], match[2]) for match in FENCE.finditer(text)]
    lines = FENCE.sub("", text).splitlines()
    indented = "\n".join(line[4:] if line.startswith("    ") else "" for line in lines)
    return fenced + [Block(page, "", part + "\n") for part in re.split(r"\n{2,}", indented) if part.strip()]


def all_blocks() -> list[Block]:
    pages = ((file.read_text(encoding="utf-8"), file.relative_to(ROOT).as_posix()) for file in PAGES)
    return [block for text, page in pages for block in blocks(text, page)]


def commands(block: Block) -> Iterator[str]:
    """The commands of a block without a language: one a line, or joined by && or a backslash; remarks are cut off."""
    if block.language not in ("", "sh", "bash"):
        return
    for line in re.sub(r"\s*\\\n\s*", " ", block.text).splitlines():
        for part in line.split(" && "):
            yield re.split(r"(?<=\S)\s{2,}|\s#\s", part.strip().removeprefix("."))[0].removeprefix("venv/bin/")


def inline_commands(text: str) -> list[str]:
    """The commands of ``detect`` that stand in a sentence."""
    return re.findall(r"`(detect [^`\n]+)`", FENCE.sub("", text))


def links(text: str) -> list[str]:
    """The targets of the links and images of a page that lie in the repository, without what follows #."""
    targets = re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", FENCE.sub("", text))
    return [target.partition("#")[0] for target in targets if "://" not in target and not target.startswith("#")]


def parse_command(words: list[str]) -> str:
    """Parse the words like the command line and return the name of the command; nothing is run.

    Raise click.ClickException for wrong words.
    """
    context = click.Context(main, info_name="detect")
    while isinstance(context.command, click.Group):
        name, command, words = context.command.resolve_command(context, words)
        assert command is not None
        context = click.Context(command, context, name)
    context.command.make_context(context.info_name, words).close()
    return context.info_name or ""


def overrides(command: str) -> list[str]:
    """The KEY=VALUE of each --set of a command."""
    words = shlex.split(command)
    return [after for word, after in pairwise(words) if word == "--set"]
