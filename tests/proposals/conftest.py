"""A fixture that makes proposals with a fake search."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.proposals import search_dataset as module
from detect.proposals.search_dataset import SearchSummary, make_proposals
from detect.proposals.selective_search.settings import SearchSettings
from tests.proposals.fake_search import FakeSearch, MakeProposals, RecordingProgress


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> MakeProposals:
    """Return ``make(images, out, ...)``, which returns the summary and the number of images that were searched."""

    def call(
        images: list[Path],
        out: Path,
        settings: SearchSettings | None = None,
        workers: int = 2,
        fail_at: int | None = None,
    ) -> tuple[SearchSummary, int]:
        search, progress = FakeSearch(fail_at), RecordingProgress()
        monkeypatch.setattr(module, "selective_search", search)
        summary = make_proposals(images, out, settings or SearchSettings(), workers, progress)
        assert progress.num_reused + progress.num_done == len(images)
        return summary, search.num_searched

    return call
