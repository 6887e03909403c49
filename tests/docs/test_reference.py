"""The pages made from the code have every setting, every command, every public name; the navigation has every page."""

from __future__ import annotations

import importlib
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import detect
from detect.cli.main import COMMANDS
from detect.config import Config
from detect.config.describe import DescribeConfig
from detect.config.files import builtin_configs
from detect.errors import RunError
from detect.evaluation.rules import PROFILES
from detect.models.backbones.registry import NETWORKS
from tests.docs.markdown import PAGES, ROOT, made_pages
from tools.build_docs import foreign_addresses, from_root, require_no_other_host
from tools.docs_pages.commands import walk
from tools.docs_pages.python_names import PACKAGES, public_names
from tools.docs_pages.settings import describe, read_sections


def keys(config: BaseModel, prefix: str = "") -> Iterator[str]:
    """The keys of all settings of a configuration, by its records and not by its classes."""
    for name, setting in config:
        if isinstance(setting, BaseModel):
            yield from keys(setting, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.slow
def test_every_setting_has_a_heading_and_a_sentence() -> None:
    text = "".join(page for name, page in made_pages().items() if name.startswith("settings"))
    every = [*keys(Config()), *keys(DescribeConfig(detector="d"))]
    assert [key for key in every if f"### `{key}` {{ #{key} }}" not in text] == []
    settings = [s for config in (Config, DescribeConfig) for section in read_sections(config) for s in section.settings]
    assert [setting.key for setting in settings if not setting.sentence.endswith(".")] == []
    assert "### `data.train[].root` { #data.train.root }" in text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "exclusiveMinimum": 0}, "a whole number above 0"),
        (
            {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]},
            "a number from 0 to 1, or `null`",
        ),
        ({"enum": ["a", "b"], "type": "string"}, "`a` or `b`"),
        ({"type": "array", "items": {"type": "string"}}, "a list, each text"),
        ({"type": "array", "prefixItems": [{"type": "number"}] * 2}, "2 in a list, each a number"),
    ],
)
def test_describe(schema: dict[str, Any], words: str) -> None:
    assert describe(schema, {}) == words


def test_every_command_has_a_section_with_all_its_options() -> None:
    text, paths = made_pages()["commands.md"], dict(walk())
    assert {path for path in paths if path.count(" ") == 1} == {f"detect {name}" for name in COMMANDS}
    sections = {part.splitlines()[0].split(" {")[0]: part for part in text.replace("\n###", "\n##").split("\n## ")[1:]}
    missing = [
        f"{path} {option}"
        for path, command in paths.items()
        if path != "detect"
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and not getattr(parameter, "hidden", False) and option not in sections.get(path, "")
    ]
    assert missing == []
    assert sections.keys() == paths.keys() - {"detect"}


def test_every_name_of_the_package_is_on_the_page_of_python() -> None:
    names = [name for name in detect.__all__ if not name.startswith("_")]
    assert names
    assert [name for name in names if f"{{ #detect.{name} }}" not in made_pages()["python.md"]] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_of_a_package_are_those_of_its_modules(package: str) -> None:
    page, missing = made_pages()[f"python-{package}.md"], []
    for module, _, names in public_names(package):
        members = vars(importlib.import_module(module)).values()
        public = {
            member.__name__
            for member in members
            if (inspect.isclass(member) or inspect.isfunction(member)) and member.__module__ == module
        }
        expected = {name for name in public if not name.startswith("_")}
        missing += [f"{module}.{name}" for name in expected - {name.name for name in names}]
        missing += [f"{module}.{name.name}" for name in names if f"{{ #{module}.{name.name} }}" not in page]
        missing += [f"{module}.{name.name} has no docstring" for name in names if not name.doc]
    assert missing == []


def test_configurations_and_networks_are_all_listed() -> None:
    assert [name for name in builtin_configs() if f"## `{name}`" not in made_pages()["configurations.md"]] == []
    assert [name for name in NETWORKS if f"`{name}`" not in made_pages()["networks.md"]] == []
    assert f"one of {len(NETWORKS)}," in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_profile_is_on_the_page_of_evaluation_rules() -> None:
    page = (ROOT / "docs" / "understand" / "evaluation-rules.md").read_text(encoding="utf-8")
    assert [name for name in PROFILES if f"| `{name}` |" not in page] == []


def test_every_extra_is_on_the_page_of_installation() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    text = (ROOT / "docs" / "start" / "installation.md").read_text(encoding="utf-8")
    assert [extra for extra in extras if f"'.[{extra}]'" not in text] == []


def test_links_of_a_page_of_the_root() -> None:
    assert from_root("") == ""
    assert from_root("[a](docs/b.md) [c](CONTRIBUTING.md#d)") == "[a](../b.md) [c](contributing.md#d)"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", []),
        ('<a href="https://a.org/">a</a><img src="b.jpg"><link href="assets/c.css" rel="stylesheet">', []),
        ('<script async src="https://a.org/b.js"></script>', ["https://a.org/b.js"]),
        ('<link rel="stylesheet" href="//fonts.a.org/c">', ["//fonts.a.org/c"]),
        ('<link rel="canonical" href="https://a.org/">', []),
    ],
)
def test_addresses_on_other_hosts_that_a_page_loads(html: str, expected: list[str], tmp_path: Path) -> None:
    assert foreign_addresses(html) == expected
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    if not expected:
        require_no_other_host(tmp_path)
        return
    with pytest.raises(RunError, match="expected nothing from another host, found"):
        require_no_other_host(tmp_path)


def test_the_navigation_has_every_page() -> None:
    """A page that is not there is an error of the strict build; a page that nobody finds is one here."""
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    listed = sorted(pages_in(navigation))
    docs = ROOT / "docs"
    written = [file.relative_to(docs).as_posix() for file in PAGES if file.is_relative_to(docs)]
    assert listed == sorted([*written, *(f"reference/{name}" for name in made_pages())])


def pages_in(navigation: Any) -> Iterator[str]:
    """The pages of a navigation: a page, a list, or a title with either."""
    if isinstance(navigation, str):
        yield navigation
    else:
        inner = navigation.values() if isinstance(navigation, dict) else navigation
        for entry in inner:
            yield from pages_in(entry)
