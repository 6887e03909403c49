"""Matching of images to the entries of a proposal file, by content or by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from detect.data.image_names import ImageNames
from detect.errors import UserError
from detect.proposals.files import ProposalFile, content_hash, require_same_image


def match_images(path: Path, proposals: ProposalFile, images: Sequence[Path]) -> list[int | None]:
    """Return for each image its index in the proposals read from ``path``, or None if they do not include it.

    An image matches by its bytes, whatever its path; otherwise by its name as in ``ImageNames`` (.mat and .json files
    store no hashes). An image that cannot be opened has no match. Raises UserError if the entry of its name was made
    from other bytes, if two images match one entry, or if no image matches at all.
    """
    index_by_hash = {
        image_hash: index for index, image_hash in enumerate(proposals.content_hashes.tolist()) if image_hash
    }
    hashes = [_hash_or_none(image) if index_by_hash else 0 for image in images]
    indices = [None if image_hash is None else index_by_hash.get(image_hash) for image_hash in hashes]
    image_by_index = {index: image for index, image in zip(indices, images, strict=True) if index is not None}
    names = ImageNames(proposals.files)
    stems = {PurePath(name).stem for name in proposals.files}
    for i, (image, image_hash) in enumerate(zip(images, hashes, strict=True)):
        # ImageNames always compares the last part of the path; a failed search would also look for a similar name.
        named = not stems.isdisjoint((image.name, image.stem))
        if indices[i] is None and named and image_hash is not None:
            index = names.find(str(image))
            first = image_by_index.setdefault(index, image)
            if first is image:
                require_same_image(path, proposals, proposals.files[index], image_hash)
                indices[i] = index
            elif not proposals.content_hashes[index]:
                name = proposals.files[index]
                raise UserError(
                    f"{path}: {name}: expected the name of one image, found two that match: {first}, {image}"
                )
    if images and not image_by_index:
        example = f"such as {proposals.files[0]}" if len(proposals) else "none at all"
        raise UserError(f"{path}: expected proposals of images such as {images[0]}, found {example}")
    return indices


def _hash_or_none(image: Path) -> int | None:
    """Return the hash of the image's bytes, or None if it cannot be opened."""
    try:
        return content_hash(image.read_bytes())
    except OSError:
        return None
