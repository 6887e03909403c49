#!/usr/bin/env python3
"""Make the figures of docs/explain.md by the commands that are printed under them.

    python tools/guide_figures.py                    all figures
    python tools/guide_figures.py anchor filters     only these

Run it in the folder of the guide's first commands: they read photo.jpg and the runs of the current folder. A figure of
the guide is ``![description](pictures/name.jpg "the file that the command writes")``. The next line of text is its
command; consecutive figures share one command.
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
from detect.errors import RunError, UserError, did_you_mean

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "explain.md"
LINK = re.compile(r'!\[[^\]]+\]\((?P<file>pictures/\S+) "(?P<output>\S+)"\)')
COMMAND = "    detect "
MAX_WIDTH = 900  # pixels of a figure in the guide
MAX_BYTES = 150_000  # of a figure file


@dataclass(frozen=True)
class Figure:
    """Figure of the guide.

    file: relative to the guide. output: the file that its command writes. command: its words after `detect`.
    """

    file: str
    output: str
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the name of the figure on the command line."""
        return Path(self.file).stem


def parse_figures(guide: str) -> list[Figure]:
    """Return the figures of a guide; raise UserError for one without a command, a description or an output file."""
    figures: list[Figure] = []
    links: list[re.Match[str]] = []
    for line in filter(str.strip, [*guide.splitlines(), "the end"]):
        if line.startswith("!["):
            link = LINK.fullmatch(line)
            if link is None:
                raise UserError(f'{line}: expected ![description](pictures/name.jpg "output of its command")')
            links.append(link)
        elif links and not line.startswith(COMMAND):
            raise UserError(f"{links[-1]['file']}: expected its command on the next line, found {line}")
        else:
            figures += [Figure(link["file"], link["output"], tuple(shlex.split(line)[1:])) for link in links]
            links = []
    return figures


def select_figures(figures: Sequence[Figure], names: Sequence[str]) -> list[Figure]:
    """Return the figures with these names, or all without names; raise UserError for an unknown name."""
    by_name = {figure.name: figure for figure in figures}
    for name in names:
        if name not in by_name:
            raise UserError(f"FIGURE: expected a figure of the guide, found {name}{did_you_mean(name, by_name)}")
    return [by_name[name] for name in names or by_name]


def save_figure(figure: Figure) -> None:
    """Save the output of the command as a figure, no wider than MAX_WIDTH.

    Raise RunError if there is no output, or if the figure takes more than MAX_BYTES.
    """
    output = Path(figure.output)
    if not output.is_file():
        raise RunError(f"{output}: expected the output of detect {shlex.join(figure.command)}, found no such file")
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
@click.argument("names", metavar="[FIGURE]...", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Run each command once, in the order of the guide, and save its figures."""
    figures = select_figures(parse_figures(GUIDE.read_text(encoding="utf-8")), names)
    for command in dict.fromkeys(figure.command for figure in figures):
        print(f"detect {shlex.join(command)}", flush=True)
        try:
            detect.main(list(command), "detect", standalone_mode=False)
        except SystemExit as stop:
            if stop.code:
                raise
        for figure in figures:
            if figure.command == command:
                save_figure(figure)


if __name__ == "__main__":
    run_command(main, "guide_figures")
