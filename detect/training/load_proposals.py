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
    """The same with the proposals of every image of both splits, unless its detector makes its own.

    A search that was cut off goes on. Images that cannot be read are named and left out. Raises UserError where a file
    lacks an image or is stale.
    """
    model = work.config.model
    if not model.given or work.config.train.recipe == "classify":
        return work
    images = list(dict.fromkeys(split.file(index) for split in (work.train, work.val) for index in range(len(split))))
    source = work.folder.proposals if model.proposals == "selective_search" else Path(model.proposals)
    if model.proposals == "selective_search":
        if work.group.leads:
            _search(work, images)
        work.group.gather(None)  # the others wait
    given = from_file(source, images, max(model.search.train_number, model.search.test_number))
    for line in given.unreadable:
        work.say(f"image left out: {line}")
    work.say(_told_recall(work.val, given, model.search.test_number))
    return replace(work, given=given, unreadable=given.unreadable)


def _search(work: Work, images: Sequence[str]) -> None:
    """Selective search over all images, or those that are left, into the run's folder."""
    source = work.folder.proposals
    with display(work.console, "searching", len(images), "images") as shown:
        files = [Path(image) for image in images]
        made = make_proposals(files, source, search_settings(work.config.model), available_cores(), shown)
        line = f"selective search: {made.boxes} boxes in {made.images} images, {made.seconds:.1f} s, in {source}"
        work.folder.log(line)
        shown.line(line)


def _told_recall(val: Annotations, given: FromFile, number: int) -> str:
    """How many objects of the validation images a detector of these proposals can find at all."""
    covered = []
    for image in (val[index] for index in range(len(val))):
        counted = ~(image.difficult | image.crowd)
        try:
            boxes = given[image.file][0][:number]
        except KeyError:  # an image that cannot be read
            boxes = np.zeros((0, 4), np.float32)
        covered.append(Coverage(boxes, image.boxes[counted], image.labels[counted]))
    best = measure(covered)
    recall = f"{(best.every >= 0.5).mean():.3f} of the objects" if len(best.every) else "none of 0 objects"
    mean = best.counts.mean() if len(best.counts) else 0
    return f"proposals of the validation images: {mean:.0f} an image, {recall} with an IoU of 0.5 or more"
