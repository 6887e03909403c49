#!/usr/bin/env python3
"""Write the lists on which the packaged detector is trained and scored: heldout, choose and final of VOC 2007.

    python tools/voc_lists.py VOCdevkit/VOC2007

heldout: each 5th photo of val, and those of val with object masks; choose: each 5th photo of val from the third on,
without heldout; final: train and val without heldout. They are files of ImageSets/Main; one that has other photos is
not overwritten.
"""

from __future__ import annotations

from pathlib import Path

import click

from detect.cli.exit_status import run_command
from detect.errors import UserError
from detect.system.files import require_file, write_text


def make_lists(train: list[str], val: list[str], with_masks: list[str]) -> dict[str, list[str]]:
    """Return the photos of heldout, choose and final, in order, from those of train and val and val's with masks."""
    heldout = set(val[::5]) | (set(with_masks) & set(val))
    return {
        "heldout": sorted(heldout),
        "choose": sorted(set(val[2::5]) - heldout),
        "final": sorted((set(train) | set(val)) - heldout),
    }


@click.command(help=__doc__)
@click.argument("root", type=click.Path(path_type=Path))
def main(root: Path) -> None:
    """Read the official lists, and write the three beside them."""
    sets = root / "ImageSets"
    files = (sets / "Main" / "train.txt", sets / "Main" / "val.txt", sets / "Segmentation" / "val.txt")
    train, val, with_masks = (require_file(file, "a list of VOC 2007").read_text().split() for file in files)
    texts = {
        sets / "Main" / f"{name}.txt": "".join(f"{stem}\n" for stem in stems)
        for name, stems in make_lists(train, val, with_masks).items()
    }
    for file, text in texts.items():
        if file.exists() and file.read_text().split() != text.split():
            raise UserError(f"{file}: expected no file or the same photos, found others; move it away first")
    for file, text in texts.items():
        if not file.exists():
            write_text(file, text)
        print(f"{file}: {len(text.split())} photos")


if __name__ == "__main__":
    run_command(main, "voc_lists")
