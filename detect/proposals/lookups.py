"""Look-ups of precomputed proposals for the loader: from files, or searched when an image is read.

``lookup[file]`` returns boxes (P, 4) in pixels of the image and scores (P,), best first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from detect.data.images import read_image
from detect.errors import UnreadableImage, UserError
from detect.proposals.files import ProposalFile, read_proposals
from detect.proposals.match_images import FileEntry, match_images_in_files
from detect.proposals.selective_search import selective_search
from detect.proposals.selective_search.settings import SearchSettings

BoxesAndScores = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ProposalsFromFiles:
    """The first ``max_proposals`` proposals of each image, which is in one of several files.

    entries: the index of the file and of the image in it, by the image's path; unreadable: a line for each image that
    has no proposals because it cannot be read.
    """

    files: tuple[ProposalFile, ...]
    entries: Mapping[str, FileEntry]
    max_proposals: int
    unreadable: tuple[str, ...] = ()

    def __getitem__(self, image: str, /) -> BoxesAndScores:
        """Return boxes (P, 4) and scores (P,); KeyError if the files have no proposals of the image."""
        file_index, index = self.entries[image]
        proposals = self.files[file_index][index]
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


def load_proposal_lookup(paths: Sequence[Path], images: Sequence[str], max_proposals: int) -> ProposalsFromFiles:
    """Return the proposals of all ``images``, each of which is in one of the files. Raises UserError if none has an
    image, if two have it, or if its bytes have changed.

    Images that cannot be read need no proposals.
    """
    files = {path: read_proposals(path) for path in paths}
    entries = dict(zip(images, match_images_in_files(files, [Path(image) for image in images]), strict=True))
    read_errors = {image: _read_error(image) for image, entry in entries.items() if entry is None}
    missing = [image for image, fault in read_errors.items() if fault is None]
    if missing:
        raise UserError(
            f"{', '.join(map(str, paths))}: expected proposals of {len(entries)} images, found none for {len(missing)} "
            f"of them, {missing[0]} first; detect proposals make adds them"
        )
    return ProposalsFromFiles(
        files=tuple(files.values()),
        entries={image: entry for image, entry in entries.items() if entry is not None},
        max_proposals=max_proposals,
        unreadable=tuple(fault for fault in read_errors.values() if fault is not None),
    )


def _read_error(image: str) -> str | None:
    """Return the reason why an image cannot be read, or None if it can."""
    try:
        read_image(image)
    except UnreadableImage as error:
        return str(error)
    return None
