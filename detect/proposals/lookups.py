"""Look-ups of precomputed proposals for the loader: from a file, or searched when an image is read.

``lookup[file]`` returns boxes (P, 4) in pixels of the image and scores (P,), best first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from detect.data.images import UnreadableImage, read_image
from detect.errors import UserError
from detect.proposals.files import ProposalFile, read_proposals
from detect.proposals.match_images import match_images
from detect.proposals.selective_search import selective_search
from detect.proposals.selective_search.settings import SearchSettings

BoxesAndScores = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ProposalsFromFile:
    """The first ``max_proposals`` proposals of each image in a file.

    indices: the index in the file, by the image's path; unreadable: a line for each image that has no proposals because
    it cannot be read.
    """

    proposals: ProposalFile
    indices: Mapping[str, int]
    max_proposals: int
    unreadable: tuple[str, ...] = ()

    def __getitem__(self, file: str, /) -> BoxesAndScores:
        """Return boxes (P, 4) and scores (P,); KeyError if the file has no proposals of the image."""
        proposals = self.proposals[self.indices[file]]
        return proposals.boxes[: self.max_proposals].numpy(), proposals.scores[: self.max_proposals].numpy()


@dataclass(frozen=True)
class SearchOnTheFly:
    """The first ``max_proposals`` boxes of selective search, computed on access."""

    settings: SearchSettings
    max_proposals: int

    def __getitem__(self, file: str, /) -> BoxesAndScores:
        """Return boxes (P, 4) and scores (P,). Raises UnreadableImage."""
        return self.search(read_image(file))

    def search(self, rgb: np.ndarray) -> BoxesAndScores:
        """Return boxes (P, 4) and scores (P,) of an image (H, W, 3) uint8."""
        proposals = selective_search(rgb, **asdict(self.settings))
        return proposals.boxes[: self.max_proposals].numpy(), proposals.scores[: self.max_proposals].numpy()


def load_proposal_lookup(path: Path, images: Sequence[str], max_proposals: int) -> ProposalsFromFile:
    """Return the proposals of all ``images`` in a file. Raises UserError if it lacks an image or its bytes have
    changed.

    Images that cannot be read need no proposals.
    """
    proposals = read_proposals(path)
    indices = dict(zip(images, match_images(path, proposals, [Path(image) for image in images]), strict=True))
    read_errors = {image: _read_error(image) for image, index in indices.items() if index is None}
    missing = [image for image, fault in read_errors.items() if fault is None]
    if missing:
        raise UserError(
            f"{path}: expected proposals of {len(indices)} images, found none for {len(missing)} of them, "
            f"{missing[0]} first; detect proposals make adds them"
        )
    index_by_image = {image: index for image, index in indices.items() if index is not None}
    return ProposalsFromFile(
        proposals, index_by_image, max_proposals, tuple(fault for fault in read_errors.values() if fault is not None)
    )


def _read_error(image: str) -> str | None:
    """Return the reason why an image cannot be read, or None if it can."""
    try:
        read_image(image)
    except UnreadableImage as error:
        return str(error)
    return None
