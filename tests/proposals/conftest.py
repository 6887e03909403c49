"""What several files of tests make proposals with."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.proposals import search_dataset as module
from detect.proposals.search_dataset import Made, SearchSettings, make_proposals
from tests.proposals.fakes import FakeSearch, Maker, Watched


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Maker:
    """``make(images, out, ...)`` -> what was made, and how many images were searched for it."""

    def call(
        images: list[Path],
        out: Path,
        settings: SearchSettings | None = None,
        workers: int = 2,
        stop_before: int | None = None,
    ) -> tuple[Made, int]:
        search, watched = FakeSearch(stop_before), Watched()
        monkeypatch.setattr(module, "selective_search", search)
        made = make_proposals(images, out, settings or SearchSettings(), workers, watched)
        assert watched.before + watched.done == len(images)
        return made, search.seen

    return call
