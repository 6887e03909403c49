"""The proposals that a detector is given in training: searched into the run's folder, or read from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from detect.config.builders.proposals import search_settings
from detect.data.annotations import Annotations
from detect.evaluation.proposal_recall import Coverage, measure
from detect.proposals.lookups import FromFile, from_file
from detect.proposals.search_dataset import make_proposals
from detect.proposals.selective_search import available_cores
from detect.system.progress import display
from detect.training.context import Work


def given_proposals(work: Work) -> Work:
    """The same with the proposals of every photo of both splits, unless its detector makes its own.

    A search that was cut off goes on. Photos that cannot be read are named and left out. Raises UserError where a file
    lacks a photo or is stale.
    """
    model = work.config.model
    if not model.given or work.config.train.recipe == "classify":
        return work
    photos = list(dict.fromkeys(split.file(index) for split in (work.train, work.val) for index in range(len(split))))
    source = work.folder.proposals if model.proposals == "selective_search" else Path(model.proposals)
    if model.proposals == "selective_search":
        if work.group.leads:
            _search(work, photos)
        work.group.gather(None)  # the others wait
    given = from_file(source, photos, max(model.search.train_number, model.search.test_number))
    for line in given.unreadable:
        work.say(f"photo left out: {line}")
    work.say(_told_recall(work.val, given, model.search.test_number))
    return replace(work, given=given, unreadable=given.unreadable)


def _search(work: Work, photos: Sequence[str]) -> None:
    """Selective search over all photos, or those that are left, into the run's folder."""
    source = work.folder.proposals
    with display(work.console, "searching", len(photos), "photos") as shown:
        files = [Path(photo) for photo in photos]
        made = make_proposals(files, source, search_settings(work.config.model), available_cores(), shown)
        line = f"selective search: {made.boxes} boxes in {made.photos} photos, {made.seconds:.1f} s, in {source}"
        work.folder.log(line)
        shown.line(line)


def _told_recall(val: Annotations, given: FromFile, number: int) -> str:
    """How many objects of the validation photos a detector of these proposals can find at all."""
    covered = []
    for photo in (val[index] for index in range(len(val))):
        counted = ~(photo.difficult | photo.crowd)
        try:
            boxes = given[photo.file][0][:number]
        except KeyError:  # a photo that cannot be read
            boxes = np.zeros((0, 4), np.float32)
        covered.append(Coverage(boxes, photo.boxes[counted], photo.labels[counted]))
    best = measure(covered)
    recall = f"{(best.every >= 0.5).mean():.3f} of the objects" if len(best.every) else "none of 0 objects"
    mean = best.counts.mean() if len(best.counts) else 0
    return f"proposals of the validation photos: {mean:.0f} a photo, {recall} with an IoU of 0.5 or more"
