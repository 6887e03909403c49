"""The command ``detect data show``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.errors import RunError, UserError, did_you_mean
from detect.system.files import require_writable_folder

if TYPE_CHECKING:
    from detect.data.formats.detect_format import BoxFormat


@click.command(
    "show",
    short_help="Write a page and image grids with the boxes of images.",
    epilog="Example: detect data show my-photos --out look",
)
@click.argument("root", type=Path)
@options.data_format
@options.data_images
@options.data_encoding
@click.option(
    "--out", type=Path, metavar="DIR", help="New or empty folder [default: <name of ROOT>-show in the current folder]."
)
@click.option("--photos", "num_images", type=click.IntRange(1), default=48, show_default=True, help="Number of images.")
@click.option(
    "--class", "class_names", multiple=True, metavar="NAME", help="Only images with this class; can be repeated."
)
@click.option(
    "--augmentations", type=click.IntRange(0), default=2, show_default=True, help="Augmented views of each image."
)
@click.option(
    "--config",
    "config_file",
    type=Path,
    metavar="FILE",
    help="Configuration with the augmentation to show [default: the built-in defaults].",
)
@options.settings
def show(
    root: Path,
    format_: BoxFormat | None,
    images: Path | None,
    encoding: str | None,
    out: Path | None,
    num_images: int,
    class_names: tuple[str, ...],
    augmentations: int,
    config_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Write image grids of ROOT, and index.html, one page to browse the images before and after augmentation.

    The page needs no network. Arrow keys show the next image, b hides the boxes, a list filters by class. Images that
    cannot be read are named and skipped; then the exit status is 1.
    """
    folder = out or Path(f"{root.absolute().name}-show")
    if require_writable_folder(folder).is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: expected a new or empty folder, found one with files in it")
    from detect.config.builders.data import build_augment
    from detect.config.builders.detector import build_preprocess
    from detect.config.builders.splits import describe_folder_splits
    from detect.data.formats.report import summarize
    from detect.data.inspect.gallery import GalleryRenderer, sample_images
    from detect.data.inspect.gallery_page import write_gallery_page, write_image_grids
    from detect.data.inspect.inspector import scan_folder
    from detect.data.inspect.valid_annotations import valid_annotations
    from detect.errors import UnreadableImage

    settings = options.load_settings(config_file, overrides)
    labeled = scan_folder(root, format_, images, encoding)
    annotations = valid_annotations(labeled)
    gallery = GalleryRenderer(annotations, build_preprocess(settings), build_augment(settings), settings.seed)
    gallery_images, unreadable = [], []
    for index in sample_images(annotations, num_images, _labels(annotations.classes, class_names)):
        try:
            gallery_images.append(gallery.render(index, augmentations))
        except UnreadableImage as error:
            unreadable.append(str(error))
    if not gallery_images:
        for line in unreadable:
            print(f"detect: {line}", file=sys.stderr)
        raise RunError(f"{root}: expected an image to show, found none that can be read")
    note = f"{len(gallery_images)} of {len(annotations)} images, {len(annotations.boxes)} objects in all"
    write_gallery_page(folder / "index.html", root.absolute().name, note, gallery_images, annotations.classes)
    grids = write_image_grids(folder, gallery_images, annotations.classes)
    print(f"{folder / 'index.html'}: {len(gallery_images)} images; image grids in the same folder: {len(grids)}")
    print(describe_folder_splits(labeled, encoding))
    for line in summarize(labeled.findings):
        print(f"noted: {line}")
    exit_if_unreadable(unreadable)


def _labels(classes: Sequence[str], names: Sequence[str]) -> list[int]:
    for name in names:
        if name not in classes:
            raise UserError(f"--class {name}: expected one of {len(classes)} classes{did_you_mean(name, classes)}")
    return [classes.index(name) + 1 for name in names]
