"""Given proposals for the loader: from a file, or searched when an image is read.

A lookup answers ``lookup[file]`` with boxes (P, 4) in pixels of the image and scores (P,), best first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detect.data.images import UnreadableImage, read_image
from detect.errors import UserError
from detect.proposals.files import ProposalFile, read_proposals
from detect.proposals.match_images import places_of
from detect.proposals.search_dataset import SearchSettings
from detect.proposals.selective_search import selective_search

BoxesAndScores = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class FromFile:
    """The first ``number`` proposals of each image in a file.

    places: where they are, by the image's path; unreadable: a line for each image that has none, because it cannot be
    read.
    """

    proposals: ProposalFile
    places: Mapping[str, int]
    number: int
    unreadable: tuple[str, ...] = ()

    def __getitem__(self, file: str, /) -> BoxesAndScores:
        """KeyError for an image that the file does not know."""
        found = self.proposals[self.places[file]]
        return found.boxes[: self.number].numpy(), found.scores[: self.number].numpy()


@dataclass(frozen=True)
class Searched:
    """The first ``number`` boxes of selective search, made when they are asked for."""

    settings: SearchSettings
    number: int

    def __getitem__(self, file: str, /) -> BoxesAndScores:
        """Raises UnreadableImage."""
        return self.search(read_image(file))

    def search(self, rgb: np.ndarray) -> BoxesAndScores:
        """The boxes of pixels (H, W, 3) uint8."""
        rule = self.settings
        found = selective_search(rgb, rule.mode, rule.seed, min_side=rule.min_side, resize_to=rule.resize_to)
        return found.boxes[: self.number].numpy(), found.scores[: self.number].numpy()


def from_file(path: Path, images: Sequence[str], number: int) -> FromFile:
    """Proposals of all ``images``. Raises UserError where the file lacks one, or holds those of other bytes.

    Images that cannot be read need no proposals.
    """
    proposals = read_proposals(path)
    places = dict(zip(images, places_of(path, proposals, [Path(image) for image in images]), strict=True))
    faults = {image: _fault(image) for image, place in places.items() if place is None}
    missing = [image for image, fault in faults.items() if fault is None]
    if missing:
        raise UserError(
            f"{path}: expected proposals of {len(places)} images, found none for {len(missing)} of them, "
            f"{missing[0]} first; detect proposals make adds them"
        )
    known = {image: place for image, place in places.items() if place is not None}
    return FromFile(proposals, known, number, tuple(fault for fault in faults.values() if fault is not None))


def _fault(image: str) -> str | None:
    """Why an image cannot be read; None where it can be."""
    try:
        read_image(image)
    except UnreadableImage as error:
        return str(error)
    return None
