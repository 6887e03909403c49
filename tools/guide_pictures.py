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
WIDEST = 900  # pixels of a picture in the guide
LARGEST = 150_000  # bytes


@dataclass(frozen=True)
class Picture:
    """file: relative to the guide; made: what its command writes; command: the words after `detect`."""

    file: str
    made: str
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """How people call it."""
        return Path(self.file).stem


def pictures(guide: str) -> list[Picture]:
    """The pictures of a guide with their commands; UserError for one without, or whose link says too little."""
    found: list[Picture] = []
    waiting: list[re.Match[str]] = []
    for line in filter(str.strip, [*guide.splitlines(), "the end"]):
        if line.startswith("!["):
            link = LINK.fullmatch(line)
            if link is None:
                raise UserError(f'{line}: expected ![what it shows](pictures/name.jpg "what its command writes")')
            waiting.append(link)
        elif waiting and not line.startswith(COMMAND):
            raise UserError(f"{waiting[-1]['file']}: expected its command right under it, found {line}")
        else:
            found += [Picture(link["file"], link["made"], tuple(shlex.split(line)[1:])) for link in waiting]
            waiting = []
    return found


def chosen(known: Sequence[Picture], names: Sequence[str]) -> list[Picture]:
    """Those with these names, all where none is given; UserError for a name that no picture has."""
    by_name = {picture.name: picture for picture in known}
    for name in names:
        if name not in by_name:
            raise UserError(f"PICTURE: expected one of the guide's, found {name}{did_you_mean(name, by_name)}")
    return [by_name[name] for name in names or by_name]


def keep(picture: Picture) -> None:
    """What the command made, small enough for a guide. RunError where it made nothing, or too much."""
    made = Path(picture.made)
    if not made.is_file():
        raise RunError(f"{made}: expected it from detect {shlex.join(picture.command)}, found no such file")
    rgb = read_image(made)
    if rgb.shape[1] > WIDEST:
        size = WIDEST, round(rgb.shape[0] * WIDEST / rgb.shape[1])
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    file = GUIDE.parent / picture.file
    file.parent.mkdir(exist_ok=True)
    save_image(file, rgb)
    if file.stat().st_size > LARGEST:
        raise RunError(f"{file}: expected at most {LARGEST:,} bytes, found {file.stat().st_size:,}")


@click.command(help=__doc__)
@click.argument("names", metavar="[PICTURE]...", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Each command once, in the guide's order."""
    wanted = chosen(pictures(GUIDE.read_text(encoding="utf-8")), names)
    for command in dict.fromkeys(picture.command for picture in wanted):
        print(f"detect {shlex.join(command)}", flush=True)
        try:
            detect.main(list(command), "detect", standalone_mode=False)
        except SystemExit as stop:
            if stop.code:
                raise
        for picture in wanted:
            if picture.command == command:
                keep(picture)


if __name__ == "__main__":
    run_command(main, "guide_pictures")
