"""Recognizes on which images, boxes and proposals a run began, so that it is not resumed on others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detect.data.annotations import Annotations
from detect.errors import UserError
from detect.system.files import file_hash


def data_identity(train: Annotations, val: Annotations, proposal_files: Sequence[Path] = ()) -> dict[str, Any]:
    """Return, for both splits, the number of images, a hash of their names, sizes, boxes and classes, and one of ids,
    areas, masks and marks.

    The names are those below the folder that all images of a split share: the data set may be moved. For files of
    proposals: a hash of the bytes of each. Raises UserError for one that is not there.
    """
    splits = {name: _identity(split) for name, split in (("train", train), ("val", val))}
    return splits | ({"proposals": _hash_files(proposal_files)} if proposal_files else {})


def require_same_data(
    out: Path, recorded: Mapping[str, Any], train: Annotations, val: Annotations, proposal_files: Sequence[Path] = ()
) -> None:
    """Raise UserError if the data of a run are not those that it began with.

    out: its folder; recorded: what ``data_identity`` returned then, without what the version of that run did not
    record.
    """
    restart = f"begin another run with its weights: --set model.init={out / 'last.pt'}"
    for name, identity in data_identity(train, val).items():
        before = identity | recorded.get(name, {})
        if before != identity:
            raise UserError(
                f"{out}: expected the {before['images']} images of data.{name} that the run began with, found "
                f"{_describe_change(before, identity)}; restore them, or {restart}"
            )
    hashes = _hash_files(proposal_files)
    recorded_hashes = recorded.get("proposals", hashes)
    changed = [file for file, digest in zip(proposal_files, hashes, strict=True) if digest not in recorded_hashes]
    if changed:
        raise UserError(
            f"{out}: expected the proposals that the run began with, found others in {changed[0]}; restore the file, "
            f"or {restart}"
        )


def _hash_files(files: Sequence[Path]) -> list[str]:
    return [file_hash(file, "a file of proposals") for file in files]


def _describe_change(before: Mapping[str, int | str], now: Mapping[str, int | str]) -> str:
    if before["images"] != now["images"]:
        return str(now["images"])
    if before["hash"] != now["hash"]:
        return "others, or other boxes on them"
    return "the same with other ids, areas, masks, or marks of crowd, difficult, occluded or truncated"


def _identity(split: Annotations) -> dict[str, int | str]:
    files = [split.file(index) for index in range(len(split))]
    prefix = os.path.commonprefix(files)  # noqa: RUF071 - it is cut at its last folder
    start = prefix.rfind(os.sep) + 1
    names = [*split.classes, *(file[start:] for file in files)]
    digest = hashlib.blake2b(os.fsencode("\n".join(names)), digest_size=8)
    for array in (split.sizes, split.offsets, split.boxes, split.labels):
        digest.update(array.tobytes())
    return {"images": len(files), "hash": digest.hexdigest(), "marks": _hash_marks(split)}


def _hash_marks(split: Annotations) -> str:
    """Return a hash of what else the training or its score depends on; the ids are keys of all random draws."""
    columns = [split.image_ids, split.difficult, split.crowd, split.areas, split.occluded, split.truncated]
    masks = [] if split.masks is None else [split.masks.offsets, split.masks.content]
    digest = hashlib.blake2b(digest_size=8)
    for column in [*columns, *masks]:
        digest.update(b"none" if column is None else column.tobytes())
    return digest.hexdigest()
