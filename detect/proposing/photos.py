"""Which photos proposals are made of or scored on, and where in a file of proposals each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from detect.build.data import training_data
from detect.build.found import settled_data
from detect.config import Config
from detect.data.annotations import Annotations
from detect.errors import UserError
from detect.evaluation.predictions import PhotoNames
from detect.proposals.files import ProposalFile, check_fresh, content_key


def annotated_split(config: Config, split: str) -> Annotations:
    """One split (train or val) with the classes of its own, difficult objects kept; the other need not exist."""
    data = settled_data(config.data).model_copy(update={"rare": 0.0, "difficult": True})
    if data.format != "shapes" and not isinstance(data.val, float | int):
        selection = data.train if split == "train" else data.val
        data = data.model_copy(update={"train": selection, "val": 0.0})
        split = "train"  # of which a fraction of 0 is split off
    return training_data(config.model_copy(update={"data": data}))[split == "val"]


def split_photos(config: Config, splits: Sequence[str]) -> list[Path]:
    """The photos of these splits, each once."""
    splits_data = [annotated_split(config, split) for split in splits]
    files = (data.file(index) for data in splits_data for index in range(len(data)))
    return [Path(file) for file in dict.fromkeys(files)]


def places_of(path: Path, proposals: ProposalFile, photos: Sequence[Path]) -> list[int | None]:
    """Where in the file read from ``path`` the proposals of each photo are; None where it has none.

    A photo is found by its bytes wherever it lies and whatever it is called, else by its name as in ``PhotoNames`` (a
    .mat or .json file knows no bytes). UserError where an entry of its name was made from other bytes, where two photos
    go by one entry, and where no photo is found at all.
    """
    by_content = {content: place for place, content in enumerate(proposals.contents.tolist()) if content}
    contents = [content_key(photo.read_bytes()) if by_content else 0 for photo in photos]
    places = [by_content.get(content) for content in contents]
    taken = {place: photo for place, photo in zip(places, photos, strict=True) if place is not None}
    names = PhotoNames(proposals.files)
    last_parts = {PurePath(name).stem for name in proposals.files}
    for index, photo in enumerate(photos):
        # Rules of PhotoNames all compare the last part; asking them for a photo that is not there searches for a hint.
        if places[index] is None and not last_parts.isdisjoint((photo.name, photo.stem)):
            place = names.find(str(photo))
            first = taken.setdefault(place, photo)
            if first is photo:
                check_fresh(path, proposals, proposals.files[place], contents[index])
                places[index] = place
            elif not proposals.contents[place]:
                name = proposals.files[place]
                raise UserError(f"{path}: {name}: expected the name of one photo, found two that fit: {first}, {photo}")
    if photos and not taken:
        example = f"such as {proposals.files[0]}" if len(proposals) else "none at all"
        raise UserError(f"{path}: expected proposals of photos such as {photos[0]}, found {example}")
    return places
