"""The proposals that a detector is given in training: searched into the run's folder, or read from a file."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from detect.config import Config
from detect.data.annotations import Annotations
from detect.display import display
from detect.proposals.selective_search import available_cores
from detect.proposing.lookups import FromFile, from_file
from detect.proposing.make import make_proposals
from detect.proposing.settings import search_settings
from detect.training.run_folder import RunFolder


def given_proposals(
    config: Config, folder: RunFolder, splits: tuple[Annotations, Annotations], console: Console
) -> FromFile | None:
    """Of every photo of both splits; None for a detector that makes its own.

    A search that was cut off goes on. Raises UserError where a file lacks a photo or is stale.
    """
    model = config.model
    if not model.given:
        return None
    photos = list(dict.fromkeys(split.file(index) for split in splits for index in range(len(split))))
    source = folder.proposals if model.proposals == "selective_search" else Path(model.proposals)
    if model.proposals == "selective_search":
        with display(console, "searching", len(photos), "photos") as shown:
            files = [Path(photo) for photo in photos]
            made = make_proposals(files, source, search_settings(model), available_cores(), shown)
            line = f"selective search: {made.boxes} boxes in {made.photos} photos, {made.seconds:.1f} s, in {source}"
            folder.log(line)
            shown.line(line)
    return from_file(source, photos, max(model.search.train_number, model.search.test_number))
