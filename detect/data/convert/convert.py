"""``detect data convert``: a folder in one format from a folder in another, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from detect.data.convert.convertible_dataset import DataSet
from detect.data.convert.dataset_writers import IMAGES, label_files
from detect.data.convert.naming import target_names
from detect.data.formats.detect_format import BoxFormat
from detect.errors import UserError, WorkError
from detect.system.files import place_for_folder, sync, sync_below
from detect.system.progress import Display


@dataclass(frozen=True)
class Conversion:
    """What is to be written where; made before anything is, so that bad input leaves nothing behind.

    names: image file to its path in the folder of images; files: path in the new folder to content.
    """

    folder: Path
    images: Path
    names: dict[Path, str]
    files: dict[str, str]


def empty_place(folder: Path) -> Path:
    """The path itself, or a UserError where there is something already."""
    place_for_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: expected a new or an empty folder, found {next(folder.iterdir()).name} in it")
    return folder


def plan(data: DataSet, target: BoxFormat, folder: Path) -> Conversion:
    """The data set as files of another format. Raises UserError for images that the format cannot tell apart."""
    names = target_names(data.images().values(), flat=target == "voc")
    return Conversion(folder, Path(IMAGES[target]), names, label_files(data, names, target))


def carry_out(conversion: Conversion, link: bool, shown: Display) -> None:
    """Write labels and copy the images, or make symbolic links to them; a kill leaves no half of a data set.

    Raises WorkError with the system's reason where that fails.
    """
    try:
        with _made_aside(conversion.folder) as aside:
            for file, name in conversion.names.items():
                _put(file, aside / conversion.images / name, link)
                shown.advance(1)
            for name, content in conversion.files.items():
                path = aside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise WorkError(f"{conversion.folder}: expected to write {error.filename or 'it'}, found: {reason}") from error


def _put(file: Path, place: Path, link: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if link:
        place.symlink_to(file.resolve())
    else:
        shutil.copyfile(file, place)


@contextmanager
def _made_aside(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the name when all is done, and is gone when it is not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        aside.chmod(0o755)  # mkdtemp makes it private
        yield aside
        if folder.exists():
            folder.rmdir()  # it was empty; a rename replaces one on POSIX only
        sync_below(aside)
        aside.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
