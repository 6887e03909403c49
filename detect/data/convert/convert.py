"""Writes a data set in another format for ``detect data convert``. The new folder is complete, or it does not exist."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from detect.data.convert.class_names import rename_classes, writable_class_names
from detect.data.convert.convertible_dataset import ConvertibleDataset
from detect.data.convert.dataset_writers import IMAGE_FOLDERS, label_files
from detect.data.convert.naming import target_names, writable_image_names
from detect.data.formats.detect_format import WritableFormat
from detect.errors import RunError, UserError
from detect.system.files import require_writable_folder, sync, sync_below
from detect.system.numbers import format_count
from detect.system.progress import ProgressDisplay


@dataclass(frozen=True)
class Conversion:
    """All files to write. It is computed before anything is written, so that bad input leaves nothing behind.

    folder: the new folder; images: the folder of images inside it; names: the path of each image file inside
    ``images``; files: path inside ``folder`` to text; notes: a line on the photos that get other names, and one on such
    classes.
    """

    folder: Path
    images: Path
    names: dict[Path, str]
    files: dict[str, str]
    notes: tuple[str, ...] = ()


def require_new_folder(folder: Path) -> Path:
    """Return ``folder``. Raise UserError if it exists and is not empty."""
    require_writable_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: expected a new or an empty folder, found {next(folder.iterdir()).name} in it")
    return folder


def plan_conversion(dataset: ConvertibleDataset, target: WritableFormat, folder: Path) -> Conversion:
    """Return the data set as files of the format ``target``; names that it cannot hold are replaced.

    Raises UserError for images that would have the same label file, and for classes that would have the same name.
    """
    images = dataset.images()
    names_in_source = target_names(images.values(), flat=target == "voc")
    names = writable_image_names(names_in_source, target)
    classes = writable_class_names(dataset, target)
    renamed = [(images[file].name, name) for file, name in names.items() if name != names_in_source[file]]
    notes = (
        _describe_renamed(renamed, "photo whose name", "photos whose names", target),
        _describe_renamed([*classes.items()], "class whose name", "classes whose names", target),
    )
    files = label_files(rename_classes(dataset, classes), names, target)
    return Conversion(folder, Path(IMAGE_FOLDERS[target]), names, files, tuple(filter(None, notes)))


def _describe_renamed(names: Sequence[tuple[str, str]], singular: str, plural: str, target: WritableFormat) -> str:
    """Return a line that counts the pairs of a name and another one, with the first of them; empty without any."""
    changed = [pair for pair in names if pair[0] != pair[1]]
    if not changed:
        return ""
    what, more = format_count(len(changed), singular, plural), "" if len(changed) == 1 else ", ..."
    return f"renamed: {what} {target} cannot hold: {changed[0][0]!r} is {changed[0][1]!r}{more}"


def run_conversion(conversion: Conversion, link: bool, progress: ProgressDisplay) -> None:
    """Write the labels, and copy the images or make symbolic links to them (``link``).

    An interrupted call leaves no partial data set. Raises RunError with the system's reason if writing fails.
    """
    try:
        with _temporary_folder(conversion.folder) as temporary:
            for file, name in conversion.names.items():
                _copy_or_link(file, temporary / conversion.images / name, link)
                progress.advance(1)
            for name, content in conversion.files.items():
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(f"{conversion.folder}: expected to write {error.filename or 'it'}, found: {reason}") from error


def _copy_or_link(source: Path, target: Path, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        target.symlink_to(source.resolve())
    else:
        shutil.copyfile(source, target)


@contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that is renamed to ``folder`` at the end, or removed after an exception."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        temporary.chmod(0o755)  # mkdtemp makes it private
        yield temporary
        if folder.exists():
            folder.rmdir()  # It was empty. Only on POSIX does a rename replace an existing folder.
        sync_below(temporary)
        temporary.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
