"""Finds the folder or list that an entry of a split in data.yaml names, also if it comes from another machine."""

from __future__ import annotations

from pathlib import Path

from detect.data.formats.image_index import listed_path
from detect.data.formats.report import Report
from detect.data.formats.yolo_data import YoloData
from detect.errors import UserError


def resolve_entry(data: YoloData, split: str, entry: str, report: Report) -> Path:
    """Return the folder or list that an entry of a split names. Raises UserError if there is none.

    Roboflow writes ``../train/images`` for a folder that is in ``train/images``. Of a path from another machine the end
    counts, as long as possible, unless another split would get the same one.
    """
    existing = _find_entry(data, entry)
    if existing is not None:
        return existing
    end = _find_end(data, entry)
    others = {each for entries in data.splits.values() for each in entries if each != entry}
    if end is None or any(end == (_find_entry(data, other) or _find_end(data, other)) for other in others):
        expected = data.base_folder / listed_path(entry)
        raise UserError(f"{data.file}: {split}: expected a folder of images or a list, found nothing at {expected}")
    report.note("dialect", data.file, split, f"{entry} is taken for {end.relative_to(data.file.parent).as_posix()}")
    return end


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
