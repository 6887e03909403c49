"""The command ``detect data convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from detect.data.convert.conversion_usage import ConversionUsage
    from detect.data.convert.convertible_dataset import ConvertibleDataset
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
    What the format of DST cannot hold is reported: fields, and in VOC and CSV the order of classes and the classes
    without objects. Names that it cannot hold are replaced and counted.
    """
    from detect.data.convert.class_names import describe_lost_classes, written_classes
    from detect.data.convert.conversion_usage import conversion_usage
    from detect.data.convert.convert import plan_conversion, require_new_folder, run_conversion
    from detect.data.convert.convertible_dataset import drop_unrepresentable, read_convertible_dataset
    from detect.data.formats.detect_format import detect_format
    from detect.data.usage import require_clean
    from detect.system.progress import show_progress

    require_new_folder(target)
    chosen = source_format or detect_format(source)
    images = None if images is None else images.absolute()
    data = drop_unrepresentable(read_convertible_dataset(source, chosen, images, encoding), target_format)
    usage = conversion_usage(data)
    if strict:
        require_clean(usage.counts, str(source))
    conversion = plan_conversion(data, target_format, target)
    with show_progress(Console(), "converting", len(conversion.names), "images") as progress:
        run_conversion(conversion, link, progress)
    classes = written_classes(data, target_format)
    lists = ", ".join(f"{name} {len(image_names)}" for name, image_names in data.splits.items())
    counts = f"{len(conversion.names)} images, {usage.counts.kept} objects, {len(classes)} classes"
    print(f"{target}: {counts}; {lists}")
    _print_usage(usage, "without an XML file" if chosen == "voc" else None)
    for box in data.dropped:
        print(f"skipped: {box}")
    _print_fields(data, target_format)
    for note in (*describe_lost_classes(data, target_format), *conversion.notes):
        print(note)


def _print_usage(usage: ConversionUsage, without_labels: str | None) -> None:
    """Print the counts and the findings; without_labels: what images without labels lack, None to quote the first."""
    from detect.data.formats.report import summarize

    print(usage.counts)
    for line in summarize(usage.noted):
        print(f"noted: {line}")
    if usage.skipped:
        print(f"skipped: {len(usage.skipped)} images {without_labels or usage.skipped[0].message}")


def _print_fields(data: ConvertibleDataset, target_format: WritableFormat) -> None:
    """Print the fields of the objects that the format does not define, by what becomes of them."""
    from detect.data.convert.lost_fields import lost_fields, nonstandard_fields

    if lost := lost_fields(data.images().values(), target_format):
        print(f"{target_format} has no field for {', '.join(lost)}: not written")
    if nonstandard := nonstandard_fields(data.objects(), target_format):
        print(f"{target_format} has no field for {', '.join(nonstandard)}: written in fields that only detect reads")
