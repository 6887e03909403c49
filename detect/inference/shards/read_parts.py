"""Reads the detections in the parts of a run, for scoring them and writing them in other formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from detect.data.formats.mask_json import parse_rle
from detect.data.image_names import relative_to_shared_folder
from detect.errors import UserError, first_line
from detect.evaluation.predictions import Prediction
from detect.inference.shards.fetch import CUT_SHORT
from detect.inference.shards.manifest import NAME, Manifest
from detect.inference.shards.parts import CLASSES, decode_part, parse_part_name
from detect.inference.shards.stores import OutputFolder, Retries

_MEMBER = "tar://"


@dataclass(frozen=True)
class PartPredictions:
    """The predictions in parts, with the names of ``photo_names``, and the names of their classes.

    unreadable: the addresses of the photos without detections; gaps: lines about photos that have no row at all, as
    their shard has no part or their tar file is cut short.
    """

    predictions: list[Prediction]
    classes: tuple[str, ...]
    unreadable: tuple[str, ...]
    gaps: tuple[str, ...]


def part_files(path: Path) -> list[Path]:
    """Return the parts that a path names: itself, or those in a folder, [] if it has none."""
    return sorted(path.glob("part-*.parquet")) if path.is_dir() else [path] if path.suffix == ".parquet" else []


def read_parts(path: Path) -> PartPredictions:
    """Read a part, or all parts of a folder. Raises UserError for a file that is none, or of other classes."""
    predictions: list[Prediction] = []
    unreadable: list[str] = []
    num_cut_short = 0
    classes: tuple[str, ...] | None = None
    for file in part_files(path):
        table, names = _read_table(file)
        if classes not in (None, names):
            raise UserError(f"{file}: expected the classes of the other parts, found {', '.join(names)}")
        classes = names
        for row in table.to_pylist():
            if row["status"] == "ok":
                predictions.append(_to_prediction(file, row))
            else:
                unreadable.append(row["url"])
                num_cut_short += row["error"].startswith(CUT_SHORT)
    gaps = list(_missing_parts(path)) if path.is_dir() else []
    if num_cut_short:
        gaps.append(f"{path}: {num_cut_short} tar files are cut short; the rest of their photos is not in the results")
    names_of_photos = photo_names([prediction.file for prediction in predictions])
    named = [replace(prediction, file=name) for prediction, name in zip(predictions, names_of_photos, strict=True)]
    return PartPredictions(named, classes or (), tuple(unreadable), tuple(gaps))


def photo_names(addresses: Sequence[str]) -> list[str]:
    """Return the name of each photo: its address, or its path in the tar file of ``tar://PATH::FILE``.

    The path follows that of the tar file, below the folder that all tar files share, where photos of several have the
    same path. Other addresses have other names.
    """
    members = [_split_member(address) for address in addresses]
    tar_files = list(dict.fromkeys(tar_file for _, tar_file in members if tar_file))
    folders = dict(zip(tar_files, relative_to_shared_folder(tar_files), strict=True))
    in_folders = [f"{folders[tar_file]}/{path}" if tar_file else path for path, tar_file in members]
    for names in ([path for path, _ in members], in_folders):
        if len(set(names)) == len(set(addresses)):
            return names
    return list(addresses)


def _split_member(address: str) -> tuple[str, str]:
    """Return the path of a photo in a tar file, and the address of that file; the address and "" without one."""
    path, separator, tar_file = address.removeprefix(_MEMBER).partition("::")
    return (path, tar_file) if address.startswith(_MEMBER) and separator else (address, "")


def _missing_parts(path: Path) -> Iterator[str]:
    """Yield a line if shards of the manifest have no part, or if the folder has no manifest. Raises RunError."""
    folder = OutputFolder(str(path), Retries())
    names = folder.names()
    if NAME not in names:
        yield f"{path}: it has no {NAME}, so that shards without a part cannot be told"
        return
    num_shards = Manifest(folder).num_shards
    finished = {parsed[0] for name in names if (parsed := parse_part_name(name)) is not None}
    num_missing = num_shards - len(finished)
    if num_missing:
        yield f"{path}: {num_missing} of {num_shards} shards have no part; their photos are not in the results"


def _read_table(file: Path) -> tuple[Any, tuple[str, ...]]:
    try:
        table = decode_part(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: expected a part of `detect predict --from`, found: {first_line(error)}") from None
    return table, tuple(json.loads(table.schema.metadata[CLASSES]))


def _to_prediction(file: Path, row: Mapping[str, Any]) -> Prediction:
    masks = row["masks"]
    location = f"{file}: {row['url']}"
    return Prediction(
        file=row["url"],
        width=row["width"],
        height=row["height"],
        boxes=np.array(row["boxes"], np.float64).reshape(-1, 4),
        scores=np.array(row["scores"], np.float64),
        labels=np.array(row["labels"], np.int64),
        masks=None if masks is None else tuple(parse_rle(location, mask) for mask in masks),
    )
