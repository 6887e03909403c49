"""Build the proposals of an evaluation from settings: those of a file, of a run folder, or of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.config import ModelConfig
from detect.data.loading.collate import ProposalLookup
from detect.errors import UserError
from detect.proposals.files import read_proposals
from detect.proposals.lookups import BoxesAndScores, ProposalsFromFiles, SearchOnTheFly, load_proposal_lookup
from detect.proposals.match_images import match_images
from detect.proposals.selective_search.settings import SearchSettings


def search_settings(model: ModelConfig) -> SearchSettings:
    """Return the settings of selective search that the boxes of an image depend on."""
    search = model.search
    return SearchSettings(
        mode=search.mode,
        seed=search.seed,
        min_side=search.min_size,
        resize_to=search.resize_width,
        min_side_width=search.min_size_width,
        colors=search.colors,
        similarities=search.similarities,
        k=search.k,
    )


def on_the_fly_search(model: ModelConfig) -> SearchOnTheFly | None:
    """Return the search for images without precomputed proposals; None for a detector with an RPN."""
    if not model.uses_precomputed_proposals:
        return None
    return SearchOnTheFly(search_settings(model), model.search.test_top_n)


@dataclass(frozen=True)
class FileElseSearch:
    """Proposals of a file for the images that are in it, and of the same search for other images."""

    from_files: ProposalsFromFiles
    search: SearchOnTheFly

    def __getitem__(self, image: str, /) -> BoxesAndScores:
        """Return the proposals of an image file. Raises UnreadableImage."""
        return self.from_files[image] if image in self.from_files.entries else self.search[image]


def proposals_for_evaluation(model: ModelConfig, images: Sequence[str], folder: Path) -> ProposalLookup | None:
    """Return the proposals of ``images`` for a model in ``folder``; None for a model with an RPN.

    The files that ``model.proposals`` names must have every image, since they do not tell the settings of a search. A
    search of the same settings is read from the proposals.npz that the training has left in the folder. Raises
    UserError.
    """
    search = on_the_fly_search(model)
    if search is None:
        return None
    if model.proposal_files:
        try:
            return load_proposal_lookup(model.proposal_files, images, search.max_proposals)
        except UserError as error:
            raise UserError(f"model.proposals: {error}; model.proposals=selective_search searches") from None
    saved_file = folder / "proposals.npz"
    if not saved_file.is_file():
        return search
    proposals = read_proposals(saved_file)
    if proposals.settings != search_settings(model).to_dict():
        return search
    try:
        indices = match_images(saved_file, proposals, [Path(image) for image in images])
    except UserError:  # the images are of another data set, or have changed since
        return search
    entries = {image: (0, index) for image, index in zip(images, indices, strict=True) if index is not None}
    return FileElseSearch(ProposalsFromFiles((proposals,), entries, search.max_proposals), search)
