"""Search settings -> how photos are searched."""

from __future__ import annotations

from detect.config import ModelConfig
from detect.proposals.lookups import Searched
from detect.proposals.search_dataset import SearchSettings


def search_settings(model: ModelConfig) -> SearchSettings:
    """What the boxes of a photo depend on."""
    search = model.search
    return SearchSettings(search.mode, search.seed, search.min_side, search.resize_to)


def searched(model: ModelConfig) -> Searched | None:
    """Proposals for photos that no file knows; None for a detector that makes its own."""
    return Searched(search_settings(model), model.search.test_number) if model.given else None
