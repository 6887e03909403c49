"""Finds the folder or list that an entry of a split in data.yaml names, also if it comes from another machine."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from detect.data.formats.image_index import FileIndex, listed_path
from detect.data.formats.report import Report
from detect.data.formats.split_names import group_by_split_folder, split_role
from detect.data.formats.yolo_data import YoloData
from detect.errors import UserError

_MAX_FOLDERS = 5  # that a message lists


def resolve_entry(data: YoloData, split: str, entry: str, images: FileIndex, report: Report) -> Path:
    """Return the folder or list that an entry of a split names. Raises UserError if there is none.

    Roboflow writes ``../train/images`` for a folder that is in ``train/images``. Of a path from another machine the end
    counts, as long as possible, unless another split would get the same one; else the only folder of images that is
    named for the split, in any spelling. images: those of the data set's folder.
    """
    existing = _find_entry(data, entry)
    if existing is not None:
        return existing
    end = _find_end(data, entry)
    others = {each for entries in data.splits.values() for each in entries if each != entry}
    claimed = {_find_entry(data, other) or _find_end(data, other) for other in others}
    if end is None or end in claimed:
        end = _find_split_folder(data, split, images)
    if end is None or end in claimed:
        expected = data.base_folder / listed_path(entry)
        raise UserError(
            f"{data.file}: {split}: expected a folder of images or a list, found nothing at {expected}"
            f"{_describe_image_folders(images)}"
        )
    taken = os.path.relpath(end, data.file.parent).replace(os.sep, "/")
    report.note("dialect", data.file, split, f"{entry} is taken for {taken}")
    return end


def _find_split_folder(data: YoloData, split: str, images: FileIndex) -> Path | None:
    """Return the folder of all images that folders named for the role of a split hold; None unless there is just one.

    If all splits are to be one folder, as for a try of a training program, it is the only one that has images.
    """
    if len(data.splits[split]) > 1:
        return None
    if len(data.splits) > 1 and len(set(data.splits.values())) == 1:
        members = images.files if len({file.parent for file in images.files}) == 1 else []
    else:
        groups = group_by_split_folder({image: images.key(image)[:-1] for image in images.files})
        fitting = [group for name, group in groups.items() if split_role(name) == split_role(split) is not None]
        members = fitting[0] if len(fitting) == 1 else []
    if not members:
        return None
    folder = Path(os.path.commonpath([file.parent for file in members]))
    return folder if set(images.below(folder).files) == set(members) else None


def _describe_image_folders(images: FileIndex) -> str:
    """Return how many images are in which folders, for a message."""
    counts = Counter(file.parent.relative_to(images.root).as_posix() for file in images.files)
    listed = ", ".join(f"{folder} ({count})" for folder, count in counts.most_common(_MAX_FOLDERS))
    more = ", ..." if len(counts) > _MAX_FOLDERS else ""
    return f"; images are in {listed}{more}" if counts else "; no images are below its folder"


def _find_entry(data: YoloData, entry: str) -> Path | None:
    """Return the folder or list at the path of an entry, or at the path without its first ``../``; None if neither."""
    name = str(listed_path(entry))
    paths = [base / name for name in (name, name.removeprefix("../")) for base in (data.base_folder, data.file.parent)]
    return next((path for path in paths if path.exists()), None)


def _find_end(data: YoloData, entry: str) -> Path | None:
    """Return what the end of a path names beside data.yaml, by as many folders as possible; None without any."""
    parts = [part for part in listed_path(entry).parts if part not in ("/", "..")]
    ends = [data.file.parent.joinpath(*parts[start:]) for start in range(len(parts))]
    return next((end for end in ends if end.exists()), None)
