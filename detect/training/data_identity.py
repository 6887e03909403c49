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
    """Return, for both splits, the number of images and a hash of their names, sizes, boxes and classes.

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
        before = recorded.get(name, identity)
        if before == identity:
            continue
        found = f"{identity['images']}" if before["images"] != identity["images"] else "others, or other boxes on them"
        raise UserError(
            f"{out}: expected the {before['images']} images of data.{name} that the run began with, found {found}; "
            f"restore them, or {restart}"
        )
    hashes = _hash_files(proposal_files)
    before = recorded.get("proposals", hashes)
    changed = [file for file, digest in zip(proposal_files, hashes, strict=True) if digest not in before]
    if changed:
        raise UserError(
            f"{out}: expected the proposals that the run began with, found others in {changed[0]}; restore the file, "
            f"or {restart}"
        )


def _hash_files(files: Sequence[Path]) -> list[str]:
    return [file_hash(file, "a file of proposals") for file in files]


def _identity(split: Annotations) -> dict[str, int | str]:
    files = [split.file(index) for index in range(len(split))]
    prefix = os.path.commonprefix(files)  # noqa: RUF071 - it is cut at its last folder
    start = prefix.rfind(os.sep) + 1
    names = [*split.classes, *(file[start:] for file in files)]
    digest = hashlib.blake2b(os.fsencode("\n".join(names)), digest_size=8)
    for array in (split.sizes, split.offsets, split.boxes, split.labels):
        digest.update(array.tobytes())
    return {"images": len(files), "hash": digest.hexdigest()}
