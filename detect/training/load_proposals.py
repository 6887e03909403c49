"""Precomputed proposals for a training: searched into the run folder, or read from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from detect.config import Config, ModelConfig
from detect.config.builders.proposals import compare_search, search_settings
from detect.data.annotations import Annotations
from detect.evaluation.proposal_recall import ProposalsAndObjects, best_ious
from detect.proposals.lookups import ProposalsFromFiles, load_proposal_lookup
from detect.proposals.search_dataset import make_proposals
from detect.system.cpu import available_cores
from detect.system.progress import show_progress
from detect.training.context import RunContext


def read_proposal_files(config: Config, train: Annotations, val: Annotations) -> ProposalsFromFiles | None:
    """Return the proposals of every image of both splits from the files of ``model.proposals``.

    None where there are no such files, or the training does not read them. Raises UserError if the files lack an image,
    or one is stale.
    """
    model = config.model
    if not model.proposal_files or not _takes_proposals(config):
        return None
    return load_proposal_lookup(model.proposal_files, _list_images(train, val), _max_proposals(model))


def attach_proposals(context: RunContext, from_files: ProposalsFromFiles | None) -> RunContext:
    """Return the context with the proposals of every image of both splits, unless the detector makes its own.

    from_files: what ``read_proposal_files`` returns; where it is None, the images are searched, and an interrupted
    search is resumed. Images that cannot be read are logged and skipped, and a file of other settings than
    ``model.search`` is logged.
    """
    if not _takes_proposals(context.config):
        return context
    model = context.config.model
    proposals = from_files or _search_into_folder(context)
    sources = model.proposal_files or (context.folder.proposals,)
    for line in proposals.unreadable:
        context.log(f"skipped image: {line}")
    for source, file in zip(dict.fromkeys(sources), proposals.files, strict=True):
        difference = compare_search(source, file.settings, model)
        if difference is not None:
            context.log(f"proposals: {difference}")
    context.log(_format_recall(context.val, proposals, model.search.test_top_n))
    return replace(context, proposals=proposals, unreadable=proposals.unreadable)


def _takes_proposals(config: Config) -> bool:
    return config.model.uses_precomputed_proposals and config.train.recipe != "pretrain"


def _max_proposals(model: ModelConfig) -> int:
    return max(model.search.train_top_n, model.search.test_top_n)


def _list_images(train: Annotations, val: Annotations) -> list[str]:
    """Return the image files of both splits, each once."""
    return list(dict.fromkeys(split.file(index) for split in (train, val) for index in range(len(split))))


def _search_into_folder(context: RunContext) -> ProposalsFromFiles:
    """Return the proposals of all images, which the main process searches while the others wait for it."""
    images = _list_images(context.train, context.val)
    if context.group.is_main:
        _search(context, images)
    context.group.gather(None)
    return load_proposal_lookup([context.folder.proposals], images, _max_proposals(context.config.model))


def _search(context: RunContext, images: Sequence[str]) -> None:
    """Run selective search on all images, or on those still to do, and write the boxes into the run folder."""
    source = context.folder.proposals
    with show_progress(context.console, "searching", len(images), "images") as progress:
        files = [Path(image) for image in images]
        summary = make_proposals(files, source, search_settings(context.config.model), available_cores(), progress)
        counts = f"{summary.num_boxes} boxes in {summary.num_images} images"
        line = f"selective search: {counts}, {summary.seconds:.1f} s, in {source}"
        context.folder.log(line)
        progress.write(line)


def _format_recall(val: Annotations, proposals: ProposalsFromFiles, max_proposals: int) -> str:
    """Format the recall of these proposals on the validation images: the upper bound of a detector's recall."""
    proposals_and_objects = []
    for image in (val[index] for index in range(len(val))):
        counted = ~(image.difficult | image.crowd)
        try:
            boxes = proposals[image.file][0][:max_proposals]
        except KeyError:  # an image that cannot be read
            boxes = np.zeros((0, 4), np.float32)
        proposals_and_objects.append(
            ProposalsAndObjects(proposals=boxes, objects=image.boxes[counted], labels=image.labels[counted])
        )
    best = best_ious(proposals_and_objects)
    recall = (
        f"{(best.all_proposals >= 0.5).mean():.3f} of the objects" if len(best.all_proposals) else "none of 0 objects"
    )
    mean = best.counts.mean() if len(best.counts) else 0
    return f"proposals of the validation images: {mean:.0f} an image, {recall} with an IoU of 0.5 or more"
