"""Which images proposals are made of or scored on, and where in a file of proposals each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from detect.data.image_names import ImageNames
from detect.errors import UserError
from detect.proposals.files import ProposalFile, check_fresh, content_key


def places_of(path: Path, proposals: ProposalFile, images: Sequence[Path]) -> list[int | None]:
    """Where in the file read from ``path`` the proposals of each image are; None where it has none.

    An image is found by its bytes wherever it lies and whatever it is called, else by its name as in ``ImageNames`` (a
    .mat or .json file knows no bytes); one that cannot be opened has none. UserError where an entry of its name was
    made from other bytes, where two images go by one entry, and where no image is found at all.
    """
    by_content = {content: place for place, content in enumerate(proposals.contents.tolist()) if content}
    contents = [_content(image) if by_content else 0 for image in images]
    places = [None if content is None else by_content.get(content) for content in contents]
    taken = {place: image for place, image in zip(places, images, strict=True) if place is not None}
    names = ImageNames(proposals.files)
    last_parts = {PurePath(name).stem for name in proposals.files}
    for index, (image, content) in enumerate(zip(images, contents, strict=True)):
        # Rules of ImageNames all compare the last part; asking them for an image that is not there searches for a hint.
        named = not last_parts.isdisjoint((image.name, image.stem))
        if places[index] is None and named and content is not None:
            place = names.find(str(image))
            first = taken.setdefault(place, image)
            if first is image:
                check_fresh(path, proposals, proposals.files[place], content)
                places[index] = place
            elif not proposals.contents[place]:
                name = proposals.files[place]
                raise UserError(f"{path}: {name}: expected the name of one image, found two that fit: {first}, {image}")
    if images and not taken:
        example = f"such as {proposals.files[0]}" if len(proposals) else "none at all"
        raise UserError(f"{path}: expected proposals of images such as {images[0]}, found {example}")
    return places


def _content(image: Path) -> int | None:
    """The key of the image's bytes; None where it cannot be opened."""
    try:
        return content_key(image.read_bytes())
    except OSError:
        return None
