"""The proposals that a detector is given in training: searched into the run's folder, or read from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detect.display import display
from detect.proposals.selective_search import available_cores
from detect.proposing.lookups import from_file
from detect.proposing.make import make_proposals
from detect.proposing.settings import search_settings
from detect.training.work import Work


def given_proposals(work: Work) -> Work:
    """The same with the proposals of every photo of both splits, unless its detector makes its own.

    A search that was cut off goes on. Raises UserError where a file lacks a photo or is stale.
    """
    model = work.config.model
    if not model.given:
        return work
    photos = list(dict.fromkeys(split.file(index) for split in (work.train, work.val) for index in range(len(split))))
    source = work.folder.proposals if model.proposals == "selective_search" else Path(model.proposals)
    if model.proposals == "selective_search":
        with display(work.console, "searching", len(photos), "photos") as shown:
            files = [Path(photo) for photo in photos]
            made = make_proposals(files, source, search_settings(model), available_cores(), shown)
            line = f"selective search: {made.boxes} boxes in {made.photos} photos, {made.seconds:.1f} s, in {source}"
            work.folder.log(line)
            shown.line(line)
    number = max(model.search.train_number, model.search.test_number)
    return replace(work, given=from_file(source, photos, number))
