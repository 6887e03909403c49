"""detect data convert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from detect.data.formats.detect_format import BoxFormat

_FORMATS = click.Choice(["voc", "coco", "yolo", "csv"])


@click.command(
    "convert",
    short_help="The same images and boxes in another format.",
    epilog="Example: detect data convert my-photos my-photos-coco --from voc --to coco",
)
@click.argument("source", metavar="SRC", type=Path)
@click.argument("target", metavar="DST", type=Path)
@click.option("--from", "source_format", type=_FORMATS, help="Of SRC [default: what it looks like].")
@click.option("--to", "target_format", type=_FORMATS, required=True, help="Of DST.")
@click.option("--images", type=Path, metavar="DIR", help="COCO, CSV: the images [default: SRC/images, SRC].")
@click.option("--strict", is_flag=True, help="Refuse a data set of which a box or an image would be left out.")
@click.option("--link", is_flag=True, help="Symbolic links to the images in place of copies.")
def convert(
    source: Path,
    target: Path,
    source_format: BoxFormat | None,
    target_format: BoxFormat,
    images: Path | None,
    strict: bool,
    link: bool,
) -> None:
    """Write SRC, a data set as data.root has it, to DST, a new or empty folder, in another format.

    Lists and their order, classes and their order, and each corner of each box stay as they are, to the last bit. What
    DST's format has no word for is told.
    """
    from detect.data.convert.convert import carry_out, empty_place, plan
    from detect.data.convert.convertible_dataset import read_data_set, sayable
    from detect.data.convert.lost_fields import foreign_marks, lost_marks
    from detect.data.formats.detect_format import found_format
    from detect.data.formats.voc import images_without_xml
    from detect.data.usage import Account, reasons, require_flawless
    from detect.system.progress import display

    empty_place(target)
    chosen = source_format or found_format(source)
    images = None if images is None else images.absolute()
    data = sayable(read_data_set(source, chosen, images), target_format)
    objects = list(data.objects())
    skipped = images_without_xml(source) if chosen == "voc" else 0
    found = Account(len(objects), reasons(data.dropped), 0, len(data.images()), skipped)
    if strict:
        require_flawless(found, str(source))
    conversion = plan(data, target_format, target)
    with display(Console(), "converting", len(conversion.names), "images") as shown:
        carry_out(conversion, link, shown)
    lists = ", ".join(f"{name} {len(image_files)}" for name, image_files in data.lists.items())
    counts = f"{len(conversion.names)} images, {len(objects)} objects, {len(data.categories)} classes"
    print(f"{target}: {counts}; {lists}")
    print(found)
    if skipped:
        print(f"left out: {skipped} images without XML file")
    for line in data.dropped:
        print(f"left out: {line}")
    for kept, marks in ((False, lost_marks(objects, target_format)), (True, foreign_marks(objects, target_format))):
        if marks:
            how = "in words that only detect reads" if kept else "not kept"
            print(f"{target_format} has no word for {', '.join(marks)}: {how}")
