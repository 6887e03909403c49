"""Build the proposals of an evaluation from settings: those of a file, of a run folder, or of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from detect.config import ModelConfig
from detect.data.loading.collate import ProposalLookup
from detect.errors import UserError
from detect.proposals.files import Setting, read_proposals
from detect.proposals.lookups import BoxesAndScores, ProposalsFromFiles, SearchOnTheFly, load_proposal_lookup
from detect.proposals.match_images import match_images
from detect.proposals.selective_search.settings import SearchSettings

# The keys of model.search that files of proposals name otherwise.
_SEARCH_KEYS = {"min_side": "min_size", "min_side_width": "min_size_width", "resize_to": "resize_width"}


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


def compare_search(file: Path, made_with: Mapping[str, Setting], model: ModelConfig) -> str | None:
    """Return a line that names the settings of a file of proposals that are not those of ``model.search``.

    made_with: the settings in the file, empty for .mat and .json, which tell none. None where nothing differs, and for
    a file that tells no settings.
    """
    if not made_with:
        return None
    ours, defaults = search_settings(model).to_dict(), asdict(SearchSettings())
    of_file = {key: made_with.get(key, defaults.get(key)) for key in [*ours, *made_with]}
    of_model = {key: ours.get(key, defaults.get(key)) for key in of_file}
    if of_file["algorithm"] != of_model["algorithm"]:
        return f"{file}: made by {of_file['algorithm']}, while images that are not in it are searched by model.search"
    different = [key for key in of_file if of_file[key] != of_model[key]]
    if not different:
        return None
    return (
        f"{file}: made with {_format_settings(of_file, different)}, while images that are not in it are searched with "
        f"{_format_settings(of_model, different)}; model.search sets them"
    )


def _format_settings(settings: Mapping[str, Setting], keys: Sequence[str]) -> str:
    """Format the settings ``keys`` as model.search takes them."""
    return ", ".join(f"{_SEARCH_KEYS.get(key, key)}={_format_value(key, settings[key])}" for key in keys)


def _format_value(key: str, value: Setting) -> str:
    if value is None:
        return "null"
    return f"[{value}]" if key in ("colors", "similarities", "k") else str(value)


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

    The files that ``model.proposals`` names must have every image: only the .npz tell the settings of a search, and
    those may be others than ``model.search``. A search of the same settings is read from the proposals.npz that the
    training has left in the folder. Raises UserError.
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
