"""docs/use/extending.md: its blocks of Python run from top to bottom, as a reader would run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from detect.models.backbones.registry import NETWORKS
from tests.docs.markdown import ROOT, blocks

PAGE = ROOT / "docs" / "use" / "extending.md"
TITLES = ("A backbone", "A head", "A format", "A metric")


@pytest.fixture
def without_new_networks() -> Iterator[None]:
    """The networks of the package as they were, after the page has added one."""
    known = dict(NETWORKS)
    yield
    NETWORKS.clear()
    NETWORKS.update(known)


def test_every_section_has_python_with_an_assertion() -> None:
    sections = {part.partition("\n")[0]: part for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]}
    assert tuple(sections) == TITLES
    without = [
        title for title, part in sections.items() if not any("assert " in block.text for block in blocks(part, ""))
    ]
    assert without == []


@pytest.mark.usefixtures("without_new_networks")
def test_the_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    python = [block.text for block in blocks(PAGE.read_text(encoding="utf-8"), "") if block.language == "python"]
    names: dict[str, object] = {}
    for text in python:
        exec(compile(text, str(PAGE), "exec"), names)
    assert "tiny" in NETWORKS
    assert (tmp_path / "objects.csv").is_file()
