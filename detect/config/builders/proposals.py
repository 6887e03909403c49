"""Search settings -> how images are searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.config import ModelConfig
from detect.data.loading.collate import GivenLookup
from detect.errors import UserError
from detect.proposals.files import read_proposals
from detect.proposals.lookups import BoxesAndScores, FromFile, Searched, from_file
from detect.proposals.match_images import places_of
from detect.proposals.search_dataset import SearchSettings


def search_settings(model: ModelConfig) -> SearchSettings:
    """What the boxes of an image depend on."""
    search = model.search
    return SearchSettings(search.mode, search.seed, search.min_side, search.resize_to)


def searched(model: ModelConfig) -> Searched | None:
    """Proposals for images that no file knows; None for a detector that makes its own."""
    return Searched(search_settings(model), model.search.test_number) if model.given else None


@dataclass(frozen=True)
class KnownOrSearched:
    """Of images that a file knows its proposals, of others those of the same search."""

    known: FromFile
    search: Searched

    def __getitem__(self, file: str, /) -> BoxesAndScores:
        """Raises UnreadableImage."""
        return self.known[file] if file in self.known.places else self.search[file]


def known_proposals(model: ModelConfig, images: Sequence[str], folder: Path) -> GivenLookup | None:
    """For a model in ``folder``; None for one that makes its own.

    A file that ``model.proposals`` names must know every image: nobody can say what search would go on with it. The
    search of a run is looked up in what its training has left there. Raises UserError.
    """
    search = searched(model)
    if search is None:
        return None
    if model.proposals != "selective_search":
        try:
            return from_file(Path(model.proposals), images, search.number)
        except UserError as error:
            raise UserError(f"model.proposals: {error}; model.proposals=selective_search searches") from None
    left = folder / "proposals.npz"
    if not left.is_file():
        return search
    proposals = read_proposals(left)
    if proposals.settings != search_settings(model).recorded():
        return search
    try:
        found = zip(images, places_of(left, proposals, [Path(image) for image in images]), strict=True)
    except UserError:  # images of another data set, or changed since
        return search
    return KnownOrSearched(
        FromFile(proposals, {image: place for image, place in found if place is not None}, search.number), search
    )
