"""What README and docs tell a reader to type is valid: commands, settings, Python, links."""

from __future__ import annotations

import ast
import re
import shlex
from itertools import pairwise
from pathlib import Path

import click
import pytest

from detect.cli.main import main
from detect.config.describe import DescribeConfig
from detect.config.describe_files import load_describe_config
from detect.config.files import builtin_configs, builtin_name, load_config
from tests.docs.markdown import (
    FENCE,
    PAGES,
    ROOT,
    Block,
    all_blocks,
    blocks,
    commands,
    inline_commands,
    links,
    made_pages,
    overrides,
    parse_command,
)
from tools.docs_pages.commands import walk
from tools.docs_pages.settings import read_sections

BLOCKS = all_blocks()
TEXTS = {file: file.read_text(encoding="utf-8") for file in PAGES}
COMMANDS = list(dict.fromkeys(command for block in BLOCKS for command in commands(block)))
OURS = [command for command in COMMANDS if command.startswith("detect ") and command != "detect --version"]
INLINE = list(dict.fromkeys(command for text in TEXTS.values() for command in inline_commands(text)))
KEYS = {setting.key for section in read_sections() for setting in section.settings}
DESCRIBE_KEYS = {setting.key for section in read_sections(DescribeConfig) for setting in section.settings}
OPTIONS = {path: {name for p in command.params for name in p.opts} for path, command in walk()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("A sentence.\n", []),
        ("Text\n\n    detect doctor\n\nText\n", ["detect doctor"]),
        ("    detect doctor && .venv/bin/detect eval a\n", ["detect doctor", "detect eval a"]),
        ("    detect eval a    what it does\n    detect eval b  # why\n", ["detect eval a", "detect eval b"]),
        ("```python\nimport detect\n```\n", []),
        ("```\ndetect eval \\\n  a\n```\n", ["detect eval a"]),
    ],
)
def test_commands_of_a_page(text: str, expected: list[str]) -> None:
    assert [command for block in blocks(text, "page.md") for command in commands(block)] == expected


def test_links_of_a_page() -> None:
    assert links("") == []
    assert links('[a](b.md#c) ![d](e.jpg "f") [g](#h) [i](https://example.org/j.md)') == ["b.md", "e.jpg"]


def test_the_pages_have_commands() -> None:
    assert len(OURS) > 60
    assert len(INLINE) > 60


@pytest.mark.parametrize("command", OURS)
def test_command_is_accepted_by_the_command_line(command: str) -> None:
    words = shlex.split(command)[1:]
    assert parse_command(words) in words


def test_a_wrong_command_is_refused() -> None:
    with pytest.raises(click.ClickException, match="No such option"):
        parse_command(["eval", "runs/first", "--metrik", "coco"])


@pytest.mark.parametrize("command", INLINE)
def test_command_in_a_sentence_has_known_options(command: str) -> None:
    words = [word for word in shlex.split(command.replace("...", ""))[1:] if word != "COMMAND"]
    path, group = "detect", main
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        inner = group.get_command(click.Context(group), name)
        assert inner is not None, f"{command}: no command {path} {name}"
        path, group = f"{path} {name}", inner  # type: ignore[assignment]
    options = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
    assert options <= OPTIONS[path]


@pytest.mark.parametrize("command", [command for command in [*OURS, *INLINE] if "--set " in command])
def test_settings_of_a_command_are_known_and_valid(command: str) -> None:
    pairs = [override for override in overrides(command) if override != "X"]  # X stands for any
    words = shlex.split(command)
    keys = DESCRIBE_KEYS if words[1] == "describe" else KEYS
    known = [override for override in pairs if override.partition("=")[0] in keys]
    assert known == pairs
    config = next((after for word, after in pairwise(words) if word == "--config"), "")
    if words[1] == "train" and builtin_name(config) in builtin_configs():
        load_config(Path(config), known)
    if words[1:3] == ["describe", "train"] and builtin_name(config) in builtin_configs():
        load_describe_config(Path(config), known)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python ")])
def test_script_of_a_command_is_there(command: str) -> None:
    words = shlex.split(command)
    file = words[2].replace(".", "/") + ".py" if words[1] == "-m" else words[1]
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=lambda b: b.page)
def test_python_is_valid(block: Block) -> None:
    assert ast.parse(block.text).body


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_list_begins_after_an_empty_line_or_a_heading(file: Path) -> None:
    """The site shows any other as one paragraph."""
    lines = FENCE.sub("", TEXTS[file]).splitlines()
    assert [line for before, line in pairwise(lines) if re.match(r"- ", line) and re.match(r"[^-#\s]", before)] == []


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_links_lead_to_files(file: Path) -> None:
    made = {ROOT / "docs" / "reference" / name for name in made_pages()}
    targets = [(target, (file.parent / target).resolve()) for target in links(TEXTS[file])]
    assert [target for target, path in targets if not path.exists() and path not in made] == []
