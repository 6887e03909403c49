"""Recognizes on which images and boxes a run began, so that it is not resumed on others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detect.data.annotations import Annotations
from detect.errors import UserError


def data_identity(train: Annotations, val: Annotations) -> dict[str, dict[str, int | str]]:
    """Return, for both splits, the number of images and a hash of their names, sizes, boxes and classes.

    The names are those below the folder that all images of a split share: the data set may be moved.
    """
    return {name: _identity(split) for name, split in (("train", train), ("val", val))}


def require_same_data(out: Path, recorded: Mapping[str, Any], train: Annotations, val: Annotations) -> None:
    """Raise UserError if the data of a run are not those that it began with.

    out: its folder; recorded: what ``data_identity`` returned then, empty for a run of a version that did not record
    it.
    """
    for name, identity in data_identity(train, val).items():
        before = recorded.get(name, identity)
        if before == identity:
            continue
        found = f"{identity['images']}" if before["images"] != identity["images"] else "others, or other boxes on them"
        raise UserError(
            f"{out}: expected the {before['images']} images of data.{name} that the run began with, found {found}; "
            f"restore them, or begin another run with its weights: --set model.init={out / 'last.pt'}"
        )


def _identity(split: Annotations) -> dict[str, int | str]:
    files = [split.file(index) for index in range(len(split))]
    prefix = os.path.commonprefix(files)  # noqa: RUF071 - it is cut at its last folder
    start = prefix.rfind(os.sep) + 1
    names = [*split.classes, *(file[start:] for file in files)]
    digest = hashlib.blake2b(os.fsencode("\n".join(names)), digest_size=8)
    for array in (split.sizes, split.offsets, split.boxes, split.labels):
        digest.update(array.tobytes())
    return {"images": len(files), "hash": digest.hexdigest()}
