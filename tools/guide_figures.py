#!/usr/bin/env python3
"""The pictures of docs/explain.md, made by the commands that stand under them.

    python tools/guide_pictures.py                    all
    python tools/guide_pictures.py anchor filters     these alone

Run it where the guide's first commands ran: they name photo.jpg and the runs of the current folder. A picture of the
guide is ``![what it shows](pictures/name.jpg "the file that the command writes")``, and the next line of text its
command; several pictures in a row share theirs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np

from detect.cli.exit_status import run_command
from detect.cli.main import main as detect
from detect.data.images import read_image
from detect.draw import save_image
from detect.errors import UserError, RunError, did_you_mean

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "explain.md"
LINK = re.compile(r'!\[[^\]]+\]\((?P<file>pictures/\S+) "(?P<made>\S+)"\)')
COMMAND = "    detect "
MAX_WIDTH = 900  # pixels of a picture in the guide
MAX_BYTES = 150_000  # bytes


@dataclass(frozen=True)
class Figure:
    """file: relative to the guide; made: what its command writes; command: the words after `detect`."""

    file: str
    output: str
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """How people call it."""
        return Path(self.file).stem


def parse_figures(guide: str) -> list[Figure]:
    """The pictures of a guide with their commands; UserError for one without, or whose link says too little."""
    figures: list[Figure] = []
    links: list[re.Match[str]] = []
    for line in filter(str.strip, [*guide.splitlines(), "the end"]):
        if line.startswith("!["):
            link = LINK.fullmatch(line)
            if link is None:
                raise UserError(f'{line}: expected ![what it shows](pictures/name.jpg "what its command writes")')
            links.append(link)
        elif links and not line.startswith(COMMAND):
            raise UserError(f"{links[-1]['file']}: expected its command right under it, found {line}")
        else:
            figures += [Figure(link["file"], link["made"], tuple(shlex.split(line)[1:])) for link in links]
            links = []
    return figures


def select_figures(figures: Sequence[Figure], names: Sequence[str]) -> list[Figure]:
    """Those with these names, all where none is given; UserError for a name that no picture has."""
    by_name = {picture.name: picture for picture in figures}
    for name in names:
        if name not in by_name:
            raise UserError(f"PICTURE: expected one of the guide's, found {name}{did_you_mean(name, by_name)}")
    return [by_name[name] for name in names or by_name]


def save_figure(figure: Figure) -> None:
    """What the command made, small enough for a guide. RunError where it made nothing, or too much."""
    output = Path(figure.output)
    if not output.is_file():
        raise RunError(f"{output}: expected it from detect {shlex.join(figure.command)}, found no such file")
    rgb = read_image(output)
    if rgb.shape[1] > MAX_WIDTH:
        size = MAX_WIDTH, round(rgb.shape[0] * MAX_WIDTH / rgb.shape[1])
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    file = GUIDE.parent / figure.file
    file.parent.mkdir(exist_ok=True)
    save_image(file, rgb)
    if file.stat().st_size > MAX_BYTES:
        raise RunError(f"{file}: expected at most {MAX_BYTES:,} bytes, found {file.stat().st_size:,}")


@click.command(help=__doc__)
@click.argument("names", metavar="[PICTURE]...", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Each command once, in the guide's order."""
    figures = select_figures(parse_figures(GUIDE.read_text(encoding="utf-8")), names)
    for command in dict.fromkeys(picture.command for picture in figures):
        print(f"detect {shlex.join(command)}", flush=True)
        try:
            detect.main(list(command), "detect", standalone_mode=False)
        except SystemExit as stop:
            if stop.code:
                raise
        for picture in figures:
            if picture.command == command:
                save_figure(picture)


if __name__ == "__main__":
    run_command(main, "guide_pictures")
