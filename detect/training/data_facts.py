"""The data of a run in a few numbers, so that a resumed run can say that they are others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePath

from detect.data.annotations import Annotations

DataFacts = Mapping[str, int | str]


def data_facts(train: Annotations, val: Annotations) -> DataFacts:
    """Return the numbers of images and objects of both splits, and a digest of names, boxes and labels.

    The folder of the data may move, so of a path only the file name counts.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (train, val):
        names = [PurePath(part.file(index)).name for index in range(len(part))]
        digest.update("\n".join([*names, *part.classes]).encode("utf-8", "surrogateescape"))
        for array in (part.offsets, part.boxes, part.labels):
            digest.update(array.tobytes())
    return {
        "train_images": len(train),
        "train_objects": len(train.boxes),
        "val_images": len(val),
        "val_objects": len(val.boxes),
        "digest": digest.hexdigest(),
    }


def describe_change(earlier: DataFacts, now: DataFacts) -> str | None:
    """Return a line if the data are others than when the run began; None if they are the same."""
    if earlier.get("digest") in (None, now["digest"]):
        return None
    names = ("train_images", "train_objects", "val_images", "val_objects")
    changes = [
        f"{name.replace('_', ' ')} {earlier[name]}, now {now[name]}" for name in names if earlier[name] != now[name]
    ]
    described = "; ".join(changes) or "as many images and objects, but other ones"
    return f"the data are others than when the run began: {described}"
