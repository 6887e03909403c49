"""docs/explain.md: each figure exists and its command is valid; tools/guide_figures.py refuses wrong ones."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

from detect.data.images import read_image
from detect.draw import save_image
from detect.errors import RunError, UserError
from tests.docs.markdown import PAGES, parse_command
from tools import guide_figures
from tools.guide_figures import COMMAND, GUIDE, MAX_BYTES, Figure, parse_figures, save_figure, select_figures

TEXT = GUIDE.read_text(encoding="utf-8")
LINK = '![a cell](pictures/a.jpg "explained/a.png")'
FIGURE = Figure("pictures/a.jpg", "explained/a.png", ("explain", "run", "a photo.jpg"))


def guide_commands() -> list[str]:
    return [line.strip() for line in TEXT.splitlines() if line.startswith(COMMAND)]


@pytest.mark.parametrize("line", guide_commands())
def test_guide_command_is_accepted_by_the_command_line(line: str) -> None:
    assert parse_command(shlex.split(line)[1:]) in line.split()[1:4]


@pytest.mark.parametrize("line", ["detect explain runs/faster --metod filters --out x", "detect model sumary"])
def test_parse_command_refuses_a_wrong_command(line: str) -> None:
    with pytest.raises(click.ClickException, match=r"No such option|no command sumary"):
        parse_command(shlex.split(line)[1:])


def test_pictures_are_those_that_the_pages_show() -> None:
    figures = parse_figures(TEXT)
    assert len(figures) >= 8
    folder = GUIDE.parent / "pictures"
    files = {f"pictures/{file.name}" for file in folder.iterdir()}
    linked = {
        f"pictures/{name}"
        for page in PAGES
        for name in re.findall(r"\]\((?:[^\s)]*/)?pictures/([^\s)]+)", page.read_text("utf-8"))
    }
    of_guide = [figure.file for figure in figures]
    assert len(of_guide) == len(set(of_guide))
    assert set(of_guide) <= linked == files
    assert max(file.stat().st_size for file in folder.iterdir()) <= MAX_BYTES


@pytest.mark.parametrize(
    ("guide", "expected"),
    [
        ("", []),
        ("    detect doctor\n", []),
        (f"{LINK}\n\n    detect explain run 'a photo.jpg'\nText.", [FIGURE]),
        (f"{LINK}\n{LINK}\n    detect explain run 'a photo.jpg'\n    detect doctor", [FIGURE, FIGURE]),
    ],
)
def test_parse_figures_returns_figures_with_their_commands(guide: str, expected: list[Figure]) -> None:
    assert parse_figures(guide) == expected


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (LINK, r"pictures/a\.jpg: expected its command on the next line, found the end"),
        (f"{LINK}\nText.\n    detect doctor", r"found Text\."),
        ("![a cell](pictures/a.jpg)\n    detect doctor", "expected !.description"),
        ('![](pictures/a.jpg "a.png")\n    detect doctor', "expected !.description"),
    ],
)
def test_parse_figures_refuses_an_incomplete_figure(guide: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_figures(guide)


def test_select_figures_by_name() -> None:
    assert select_figures([FIGURE], []) == [FIGURE]
    assert select_figures([FIGURE], ["a"]) == [FIGURE]
    with pytest.raises(UserError, match="FIGURE: expected a figure of the guide, found b"):
        select_figures([FIGURE], ["b"])


def test_save_figure_limits_width_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guide_figures, "GUIDE", tmp_path / "docs" / "guide.md")
    (tmp_path / "docs").mkdir()
    with pytest.raises(RunError, match=r"explained/a\.png: expected the output of detect explain run 'a photo\.jpg'"):
        save_figure(FIGURE)
    (tmp_path / "explained").mkdir()
    save_image(tmp_path / "explained" / "a.png", np.full((100, 1800, 3), 7, np.uint8))
    save_figure(FIGURE)
    assert read_image(tmp_path / "docs" / "pictures" / "a.jpg").shape == (50, 900, 3)
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    save_image(tmp_path / "explained" / "a.png", noise)
    with pytest.raises(RunError, match="expected at most 150,000 bytes, found"):
        save_figure(FIGURE)
