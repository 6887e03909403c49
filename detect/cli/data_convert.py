"""The command ``detect data convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from detect.data.formats.detect_format import BoxFormat, WritableFormat

_READABLE = click.Choice(["voc", "coco", "yolo", "csv", "labelme", "cvat", "label-studio"])
_WRITABLE = click.Choice(["voc", "coco", "yolo", "csv"])


@click.command(
    "convert",
    short_help="Write the same images and boxes in another format.",
    epilog="Example: detect data convert my-photos my-photos-coco --from voc --to coco",
)
@click.argument("source", metavar="SRC", type=Path)
@click.argument("target", metavar="DST", type=Path)
@click.option("--from", "source_format", type=_READABLE, help="Format of SRC [default: detected].")
@click.option("--to", "target_format", type=_WRITABLE, required=True, help="Format of DST.")
@click.option(
    "--images",
    type=Path,
    metavar="DIR",
    help="Folder of the images, if SRC is COCO, CSV, CVAT or Label Studio [default: SRC/images, SRC].",
)
@click.option("--encoding", metavar="NAME", help="CSV, YOLO: encoding of SRC's files [default: UTF-8].")
@click.option("--strict", is_flag=True, help="Fail if any box or image would be left out.")
@click.option("--link", is_flag=True, help="Make symbolic links to the images instead of copies.")
def convert(
    source: Path,
    target: Path,
    source_format: BoxFormat | None,
    target_format: WritableFormat,
    images: Path | None,
    encoding: str | None,
    strict: bool,
    link: bool,
) -> None:
    """Write the data set SRC to DST, a new or empty folder, in another format.

    Splits and their order, classes and their order, and the corners of each box stay as they are, to the last bit.
    Fields that the format of DST cannot hold are reported; names that it cannot hold are replaced and counted.
    """
    from detect.data.convert.convert import plan_conversion, require_new_folder, run_conversion
    from detect.data.convert.convertible_dataset import drop_unrepresentable, read_convertible_dataset
    from detect.data.convert.lost_fields import lost_fields, nonstandard_fields
    from detect.data.formats.detect_format import detect_format
    from detect.data.formats.report import summarize
    from detect.data.usage import DataUsage, count_reasons, count_titles, require_clean, skipped_images
    from detect.system.progress import show_progress

    require_new_folder(target)
    chosen = source_format or detect_format(source)
    images = None if images is None else images.absolute()
    data = drop_unrepresentable(read_convertible_dataset(source, chosen, images, encoding), target_format)
    objects = list(data.objects())
    skipped = skipped_images(data.findings, {str(file) for file in data.images()})
    noted = [finding for finding in data.findings if finding not in skipped]
    usage = DataUsage(
        kept=len(objects),
        dropped=count_reasons(data.dropped),
        clipped=0,
        images=len(data.images()),
        skipped=len(skipped),
        noted=count_titles(noted),
    )
    if strict:
        require_clean(usage, str(source))
    conversion = plan_conversion(data, target_format, target)
    with show_progress(Console(), "converting", len(conversion.names), "images") as progress:
        run_conversion(conversion, link, progress)
    lists = ", ".join(f"{name} {len(image_names)}" for name, image_names in data.splits.items())
    counts = f"{len(conversion.names)} images, {len(objects)} objects, {len(data.categories)} classes"
    print(f"{target}: {counts}; {lists}")
    print(usage)
    for line in summarize(noted):
        print(f"noted: {line}")
    if skipped:
        print(f"skipped: {len(skipped)} images {'without an XML file' if chosen == 'voc' else skipped[0].message}")
    for box in data.dropped:
        print(f"skipped: {box}")
    for readable, fields in (
        (False, lost_fields(data.images().values(), target_format)),
        (True, nonstandard_fields(objects, target_format)),
    ):
        if fields:
            how = "written in fields that only detect reads" if readable else "not written"
            print(f"{target_format} has no field for {', '.join(fields)}: {how}")
    for note in conversion.notes:
        print(note)
