"""Which photos proposals are made of or scored on, and where in a file of proposals each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from detect.data.image_names import PhotoNames
from detect.errors import UserError
from detect.proposals.files import ProposalFile, check_fresh, content_key


def places_of(path: Path, proposals: ProposalFile, photos: Sequence[Path]) -> list[int | None]:
    """Where in the file read from ``path`` the proposals of each photo are; None where it has none.

    A photo is found by its bytes wherever it lies and whatever it is called, else by its name as in ``PhotoNames`` (a
    .mat or .json file knows no bytes); one that cannot be opened has none. UserError where an entry of its name was
    made from other bytes, where two photos go by one entry, and where no photo is found at all.
    """
    by_content = {content: place for place, content in enumerate(proposals.contents.tolist()) if content}
    contents = [_content(photo) if by_content else 0 for photo in photos]
    places = [None if content is None else by_content.get(content) for content in contents]
    taken = {place: photo for place, photo in zip(places, photos, strict=True) if place is not None}
    names = PhotoNames(proposals.files)
    last_parts = {PurePath(name).stem for name in proposals.files}
    for index, (photo, content) in enumerate(zip(photos, contents, strict=True)):
        # Rules of PhotoNames all compare the last part; asking them for a photo that is not there searches for a hint.
        named = not last_parts.isdisjoint((photo.name, photo.stem))
        if places[index] is None and named and content is not None:
            place = names.find(str(photo))
            first = taken.setdefault(place, photo)
            if first is photo:
                check_fresh(path, proposals, proposals.files[place], content)
                places[index] = place
            elif not proposals.contents[place]:
                name = proposals.files[place]
                raise UserError(f"{path}: {name}: expected the name of one photo, found two that fit: {first}, {photo}")
    if photos and not taken:
        example = f"such as {proposals.files[0]}" if len(proposals) else "none at all"
        raise UserError(f"{path}: expected proposals of photos such as {photos[0]}, found {example}")
    return places


def _content(photo: Path) -> int | None:
    """The key of the photo's bytes; None where it cannot be opened."""
    try:
        return content_key(photo.read_bytes())
    except OSError:
        return None
