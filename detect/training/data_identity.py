"""Recognizes on which images, boxes and proposals a run began, so that it is not resumed on others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detect.data.annotations import Annotations
from detect.errors import UserError
from detect.proposals.lookups import ProposalsFromFiles

_BOXES_OF_PROPOSALS = "proposal_boxes"  # the key of their hash in environment.json


def data_identity(train: Annotations, val: Annotations, proposals: ProposalsFromFiles | None = None) -> dict[str, Any]:
    """Return, for both splits, the number of images, a hash of their names, sizes, boxes and classes, and one of ids,
    areas, masks and marks.

    The names are those below the folder that all images of a split share: the data set may be moved. For proposals from
    files: the number of these images that can be read, and a hash of their boxes and scores, whatever else is in the
    files.
    """
    splits = {name: _identity(split) for name, split in (("train", train), ("val", val))}
    return splits | ({} if proposals is None else {_BOXES_OF_PROPOSALS: _identity_of_proposals(proposals)})


def require_same_data(
    out: Path,
    recorded: Mapping[str, Any],
    train: Annotations,
    val: Annotations,
    proposals: ProposalsFromFiles | None = None,
    *,
    sliced: bool = False,
) -> None:
    """Raise UserError if the data of a run are not those that it began with.

    out: its folder; recorded: what ``data_identity`` returned then, without what the version of that run did not
    record; sliced: whether the images to train on are slices.
    """
    restart = f"begin another run with its weights: --set model.init={out / 'last.pt'}"
    for name, identity in data_identity(train, val).items():
        before = identity | recorded.get(name, {})
        if before != identity:
            from_former_version = name == "train" and sliced and "marks" not in recorded[name]
            cut = ", or this version cuts slices otherwise (crowds, boxes beyond the photo)" * from_former_version
            raise UserError(
                f"{out}: expected the {before['images']} images of data.{name} that the run began with, found "
                f"{_describe_change(before, identity)}{cut}; restore them, or {restart}"
            )
    if proposals is None or _BOXES_OF_PROPOSALS not in recorded:
        return
    before, now = recorded[_BOXES_OF_PROPOSALS], _identity_of_proposals(proposals)
    # Another number is that of images that can be read now, or no longer: a run goes on without unreadable images.
    if before["images"] == now["images"] and before["hash"] != now["hash"]:
        raise UserError(
            f"{out}: expected the proposals that the run began with, found others of these images in the files of "
            f"model.proposals; restore them, or {restart}"
        )


def _identity_of_proposals(proposals: ProposalsFromFiles) -> dict[str, int | str]:
    """Return the number of images, and a hash of the boxes and scores of all, in the order of the images."""
    digest = hashlib.blake2b(digest_size=8)
    for boxes, scores in (proposals[image] for image in proposals.entries):
        digest.update(boxes.tobytes())
        digest.update(scores.tobytes())
    return {"images": len(proposals.entries), "hash": digest.hexdigest()}


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
