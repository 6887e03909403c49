"""Matching of images to the entries of proposal files, by content or by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from detect.data.image_names import ImageNames
from detect.errors import UserError
from detect.proposals.files import ProposalFile, content_hash, require_same_image

FileEntry = tuple[int, int]  # the index of a proposal file, and of an image in it


def match_images(path: Path, proposals: ProposalFile, images: Sequence[Path]) -> list[int | None]:
    """Return for each image its index in the proposals read from ``path``, or None if they do not include it.

    See ``match_images_in_files``.
    """
    return [None if entry is None else entry[1] for entry in match_images_in_files({path: proposals}, images)]


def match_images_in_files(files: dict[Path, ProposalFile], images: Sequence[Path]) -> list[FileEntry | None]:
    """Return for each image the file that has its proposals and its index there, or None if no file includes it.

    An image matches by its bytes, whatever its path; otherwise by its name as in ``ImageNames`` (.mat and .json files
    store no hashes). An image that cannot be opened has no match. Raises UserError if the entry of its name was made
    from other bytes, if two images match one entry, if an image is in two files, or if no image matches at all.
    """
    has_hashes = [bool(proposals.content_hashes.any()) for proposals in files.values()]
    hashes = [_hash_or_none(image) if any(has_hashes) else 0 for image in images]
    entries: list[FileEntry | None] = [None] * len(images)
    paths = list(files)
    for file_index, proposals in enumerate(files.values()):
        _match_by_content(paths, file_index, proposals, images, hashes, entries)
    # Files without hashes come first: an entry of another image's bytes is stale only where no file has the image.
    for file_index in sorted(range(len(files)), key=lambda index: has_hashes[index]):
        _match_by_name(paths, file_index, files[paths[file_index]], images, hashes, entries)
    if images and all(entry is None for entry in entries):
        first_name = next((proposals.files[0] for proposals in files.values() if len(proposals)), None)
        example = "none at all" if first_name is None else f"such as {first_name}"
        sources = ", ".join(map(str, paths))
        raise UserError(f"{sources}: expected proposals of images such as {images[0]}, found {example}")
    return entries


def _match_by_content(
    paths: Sequence[Path],
    file_index: int,
    proposals: ProposalFile,
    images: Sequence[Path],
    hashes: Sequence[int | None],
    entries: list[FileEntry | None],
) -> None:
    """Set the entries of the images whose bytes a file has."""
    index_by_hash = {
        image_hash: index for index, image_hash in enumerate(proposals.content_hashes.tolist()) if image_hash
    }
    for i, image_hash in enumerate(hashes):
        index = None if image_hash is None else index_by_hash.get(image_hash)
        if index is not None:
            _require_in_no_other(paths, images[i], entries[i], file_index)
            entries[i] = (file_index, index)


def _match_by_name(
    paths: Sequence[Path],
    file_index: int,
    proposals: ProposalFile,
    images: Sequence[Path],
    hashes: Sequence[int | None],
    entries: list[FileEntry | None],
) -> None:
    """Set the entries of the images that no file has by their bytes and whose name this file has."""
    image_by_index = {
        entry[1]: image
        for entry, image in zip(entries, images, strict=True)
        if entry is not None and entry[0] == file_index
    }
    names = ImageNames(proposals.files)
    stems = {PurePath(name).stem for name in proposals.files}
    has_all_hashes = bool(proposals.content_hashes.all())
    for i in sorted(range(len(images)), key=lambda index: entries[index] is not None):
        image, image_hash, matched = images[i], hashes[i], entries[i]
        # ImageNames always compares the last part of the path; a failed search would also look for a similar name.
        if image_hash is None or stems.isdisjoint((image.name, image.stem)):
            continue
        if matched is not None and (matched[0] == file_index or has_all_hashes):
            continue
        index = names.find(str(image))
        if matched is not None:  # in another file; the entry here may be of another image with the same name
            if not proposals.content_hashes[index] and index not in image_by_index:
                _require_in_no_other(paths, image, matched, file_index)
            continue
        first = image_by_index.setdefault(index, image)
        if first is image:
            require_same_image(paths[file_index], proposals, proposals.files[index], image_hash)
            entries[i] = (file_index, index)
        elif not proposals.content_hashes[index]:
            name = proposals.files[index]
            raise UserError(
                f"{paths[file_index]}: {name}: expected the name of one image, found two that match: {first}, {image}"
            )


def _require_in_no_other(paths: Sequence[Path], image: Path, entry: FileEntry | None, file_index: int) -> None:
    """Raise UserError if an image that this file has is in another file already."""
    if entry is not None and entry[0] != file_index:
        raise UserError(
            f"{image}: expected its proposals in one file, found them in {paths[entry[0]]} and {paths[file_index]}"
        )


def _hash_or_none(image: Path) -> int | None:
    """Return the hash of the image's bytes, or None if it cannot be opened."""
    try:
        return content_hash(image.read_bytes())
    except OSError:
        return None
