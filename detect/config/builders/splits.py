"""Cuts a split in two by a hash, and says in a line which images train, which validate and which are not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from pathlib import Path

from rich.console import Console

from detect.config import DataConfig, SourceConfig
from detect.config.builders.resolve import choose_splits
from detect.data.annotations import Annotations
from detect.data.formats.detect_format import BOX_FORMATS
from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.read_folder import open_folder
from detect.data.formats.report import Report
from detect.data.formats.sizes import ImageSizes
from detect.data.formats.split_names import ONLY_SPLIT, guess_split
from detect.data.near_duplicates import group_duplicates
from detect.data.near_duplicates_cache import hash_cache_file, image_hashes
from detect.data.sources import MAX_GROUP, drop_large_groups, hash_split
from detect.errors import UserError
from detect.system.numbers import format_count
from detect.system.progress import show_progress

UNLISTED = ""  # the name of no split, for images that have labels and are in none


def split_by_hash(annotations: Annotations, fraction: float) -> tuple[Annotations, Annotations, tuple[str, ...]]:
    """Return (train, val, notes); near-duplicate images are kept on the same side of the split.

    An image that has a near-duplicate in the training split would not test generalization. A note tells of large groups
    of near-duplicates.
    """
    if not 0 < fraction < 1 or len(annotations) < 2:
        return *hash_split(annotations, fraction), ()
    duplicates = near_duplicates(annotations)
    kept_together = drop_large_groups(duplicates, len(annotations))
    notes = _note_large_groups(duplicates, kept_together)
    if any(len(group) == len(annotations) for group in duplicates):
        notes = (
            f"near-duplicates: all {len(annotations)} images are one group, so both sides of the split show nearly the "
            "same and the scores of validation say little: add other images, or name a split of others by data.val",
        )
    return *hash_split(annotations, fraction, kept_together), notes


def near_duplicates(annotations: Annotations) -> list[list[int]]:
    """Return the groups of images that show nearly the same, as indices; progress goes to stderr."""
    images = [Path(annotations.file(index)) for index in range(len(annotations))]
    console = Console(stderr=True)
    with show_progress(console, "hashing images", len(images), "images") as progress:
        hashes = image_hashes(images, hash_cache_file(images), progress.advance)
    readable = [(index, image_hash) for index, image_hash in enumerate(hashes) if image_hash is not None]
    with show_progress(console, "comparing images", len(readable), "images") as progress:
        groups = group_duplicates([image_hash for _, image_hash in readable], progress.advance)
    return [[readable[member][0] for member in group] for group in groups]


def _note_large_groups(groups: Sequence[Sequence[int]], kept_together: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Return a note on large groups of near-duplicates on one side, and one on groups that were too large for that."""
    large = [group for group in groups if len(group) > MAX_GROUP]
    treatments = (
        ("each on one side of the split", [group for group in large if group in kept_together]),
        ("too large for one side, so split by name", [group for group in large if group not in kept_together]),
    )
    notes = []
    for treatment, treated in treatments:
        if treated:
            sizes = ", ".join(str(len(group)) for group in treated)
            notes.append(f"near-duplicates: {len(treated)} groups of over {MAX_GROUP} images ({sizes}), {treatment}")
    return tuple(notes)


def image_folder(data: DataConfig) -> Path | None:
    """Return the folder data.images, absolute: in the current folder, else, if it is there, in data.root."""
    if data.images is None:
        return None
    folder, below_root = Path(data.images), Path(data.root) / data.images
    return (below_root if below_root.is_dir() and not folder.is_dir() else folder).absolute()


def count_unused(data: DataConfig, parts: Sequence[Annotations], report: Report) -> dict[str, int]:
    """Return the number of images that are not in ``parts``, the splits in use, for each other split on disk.

    data: the resolved settings. UNLISTED is among the names. Splits that are joined from several sources are not
    searched for others. A split that cannot be read is noted in ``report``, and stops nothing.
    """
    box_format = next((name for name in BOX_FORMATS if name == data.format), None)
    if box_format is None or not isinstance(data.train, str) or isinstance(data.val, tuple):
        return {}
    collected = Report()
    reader = open_folder(box_format, Path(data.root), image_folder(data), collected, ImageSizes(), data.encoding)
    used = {part.file(index) for part in parts for index in range(len(part))}
    counts = {}
    for name in reader.split_names():
        if name not in (data.train, data.val):
            try:
                counts[name] = sum(str(file) not in used for file in dict.fromkeys(reader.image_files(name)))
            except UserError as error:
                report.note("damaged-annotation", Path(data.root), name, f"a split that is not used: {error}")
    try:
        counts[UNLISTED] = sum(str(file) not in used for file in reader.unlisted_files())
    except UserError as error:  # it needs all splits: the one that cannot be read
        report.note("damaged-annotation", Path(data.root), "", f"images in no split are not counted: {error}")
    for finding in collected.findings:
        if finding.is_error:  # in a split that is not used: those in use have been read without
            report.note(finding.kind, Path(finding.file), finding.location, finding.message)
    return {name: count for name, count in counts.items() if count}


def describe_splits(data: DataConfig, train: Sized | None, val: Sized | None, unused: Mapping[str, int]) -> str:
    """Return a line that says where both splits are from, and counts the images of all splits.

    data: the resolved settings; train, val: the images of both, None for a split that was not read; unused: as
    ``count_unused`` returns it.
    """
    if isinstance(data.val, float | int) and train is not None and val is not None:
        total = _images(len(train) + len(val))
        has_name = bool(unused) or data.train != ONLY_SPLIT
        images = f"{describe_setting(data.train)} ({total})" if has_name else f"all {total}"
        line = f"splits: {images} split by a hash of the file names: {len(train)} to train, {len(val)} to validate"
    else:
        both = (("train", data.train, train), ("val", data.val, val))
        parts = (
            f"{role} from {describe_setting(name)} ({_images(len(part))})"
            for role, name, part in both
            if part is not None
        )
        line = f"splits: {', '.join(parts)}"
    return f"{line}{_describe_unused(unused)}"


def describe_folder_splits(folder: LabeledFolder, encoding: str | None = None) -> str:
    """Return the line on the splits that training takes from a folder by default, with the images that it names.

    Training cuts a split in two where none is for validation; which images those are is known when they are compared.
    encoding: that with which the folder was read.
    """
    counts = {name: len(part.images) for name, part in folder.splits.items()}
    unlisted = _count_unlisted(folder, encoding)
    try:
        train, val = choose_splits(list(folder.splits), folder.root)
    except UserError as error:
        listed = _list_counts(counts | ({UNLISTED: unlisted} if unlisted else {}))
        return f"splits: {listed or 'none'}; {error}"
    used = {image.file for name in (train, val) if name in counts for image in folder.splits[str(name)].images}
    unused = {
        name: sum(image.file not in used for image in part.images)
        for name, part in folder.splits.items()
        if name not in (train, val)
    }
    unused = {name: count for name, count in (unused | {UNLISTED: unlisted}).items() if count}
    if isinstance(val, str):
        data = DataConfig().model_copy(update={"train": train, "val": val})
        return describe_splits(data, folder.splits[train].images, folder.splits[val].images, unused)
    has_name = bool(unused) or train != ONLY_SPLIT
    images = f"{train} ({_images(counts[train])})" if has_name else f"all {_images(counts[train])}"
    line = f"splits: {images}, of which training sets {val:.0%} aside to validate, by a hash of the file names"
    return f"{line}{_describe_unused(unused)}"


def _count_unlisted(folder: LabeledFolder, encoding: str | None) -> int:
    """Return the number of images of a folder that have labels and are in no split."""
    reader = open_folder(folder.format, folder.root, None, Report(), ImageSizes(), encoding)
    try:
        return len(reader.unlisted_files())
    except UserError:  # a split that cannot be read: a finding of the folder says so
        return len(folder.unlisted)


def _describe_unused(unused: Mapping[str, int]) -> str:
    """Return the end of a line on splits: those that are not used, with a hint at one for testing."""
    if not unused:
        return ""
    is_one = len(unused) == 1 and unused.get(UNLISTED, 1) == 1
    tests = [name for name in unused if guess_split(name) == "test"]
    hint = f": data.val={tests[0]} validates on it" if len(tests) == 1 else ""
    return f"; {_list_counts(unused)} {'is' if is_one else 'are'} not used{hint}"


def _list_counts(counts: Mapping[str, int]) -> str:
    """Return splits by name, each with its number of images."""
    return " and ".join(
        f"{_images(count)} with labels in no split" if name == UNLISTED else f"{name} ({_images(count)})"
        for name, count in counts.items()
    )


def describe_setting(setting: str | float | tuple[SourceConfig, ...]) -> str:
    """Return the name of a split, or how many sources it is joined from."""
    if not isinstance(setting, tuple):
        return str(setting)
    return format_count(len(setting), "source")


def _images(count: int) -> str:
    return format_count(count, "image")
