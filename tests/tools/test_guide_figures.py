"""The guide: each picture is there, its command is one, and the tool refuses what it could not make."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import numpy as np
import pytest

from detect.cli.main import main
from detect.data.images import read_image
from detect.draw import save_image
from detect.errors import UserError, RunError
from tools import guide_pictures
from tools.guide_pictures import COMMAND, GUIDE, MAX_BYTES, Figure, select_figures, save_figure, parse_figures

TEXT = GUIDE.read_text(encoding="utf-8")
LINK = '![a cell](pictures/a.jpg "explained/a.png")'
MADE = Figure("pictures/a.jpg", "explained/a.png", ("explain", "run", "a photo.jpg"))


def parsed(words: list[str]) -> str:
    """The command's name, found as the command line does, up to the last option; nothing is run.

    click.ClickException for what is wrong.
    """
    context = click.Context(main, info_name="detect")
    while isinstance(context.command, click.Group):
        name, command, words = context.command.resolve_command(context, words)
        assert command is not None
        context = click.Context(command, context, name)
    context.command.make_context(context.info_name, words).close()
    return context.info_name or ""


def commands() -> list[str]:
    return [line.strip() for line in TEXT.splitlines() if line.startswith(COMMAND)]


@pytest.mark.parametrize("line", commands())
def test_the_command_line_accepts_every_command_of_the_guide(line: str) -> None:
    assert parsed(shlex.split(line)[1:]) in line.split()[1:4]


@pytest.mark.parametrize("line", ["detect explain runs/faster --metod filters --out x", "detect model sumary"])
def test_a_command_that_is_none_is_seen(line: str) -> None:
    with pytest.raises(click.ClickException):
        parsed(shlex.split(line)[1:])


def test_the_guide_has_its_pictures_and_the_folder_no_others() -> None:
    known = parse_figures(TEXT)
    assert len(known) >= 8
    folder = GUIDE.parent / "pictures"
    assert sorted(picture.file for picture in known) == sorted(f"pictures/{file.name}" for file in folder.iterdir())
    assert max(file.stat().st_size for file in folder.iterdir()) <= MAX_BYTES


@pytest.mark.parametrize(
    ("guide", "expected"),
    [
        ("", []),
        ("    detect doctor\n", []),
        (f"{LINK}\n\n    detect explain run 'a photo.jpg'\nText.", [MADE]),
        (f"{LINK}\n{LINK}\n    detect explain run 'a photo.jpg'\n    detect doctor", [MADE, MADE]),
    ],
)
def test_pictures_with_their_commands(guide: str, expected: list[Figure]) -> None:
    assert parse_figures(guide) == expected


@pytest.mark.parametrize(
    ("guide", "said"),
    [
        (LINK, r"pictures/a\.jpg: expected its command right under it, found the end"),
        (f"{LINK}\nText.\n    detect doctor", r"found Text\."),
        ("![a cell](pictures/a.jpg)\n    detect doctor", "expected !.what it shows"),
        ('![](pictures/a.jpg "a.png")\n    detect doctor', "expected !.what it shows"),
    ],
)
def test_a_picture_that_says_too_little_is_refused(guide: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_figures(guide)


def test_pictures_are_chosen_by_name() -> None:
    assert select_figures([MADE], []) == [MADE]
    assert select_figures([MADE], ["a"]) == [MADE]
    with pytest.raises(UserError, match="PICTURE: expected one of the guide's, found b"):
        select_figures([MADE], ["b"])


def test_what_was_made_is_kept_no_wider_than_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guide_pictures, "GUIDE", tmp_path / "docs" / "guide.md")
    (tmp_path / "docs").mkdir()
    with pytest.raises(RunError, match=r"explained/a\.png: expected it from detect explain run 'an image\.jpg'"):
        save_figure(MADE)
    (tmp_path / "explained").mkdir()
    save_image(tmp_path / "explained" / "a.png", np.full((100, 1800, 3), 7, np.uint8))
    save_figure(MADE)
    assert read_image(tmp_path / "docs" / "pictures" / "a.jpg").shape == (50, 900, 3)
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    save_image(tmp_path / "explained" / "a.png", noise)
    with pytest.raises(RunError, match="expected at most 150,000 bytes, found"):
        save_figure(MADE)
