"""Prepare what is trained on: without difficult objects, cut into slices, with repetitions, as the settings say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from detect.config import Config
from detect.config.builders.slices import build_training_slices
from detect.data.annotations import Annotations
from detect.data.repeat_factor import repeat_factor_sampling
from detect.data.slices import TrainingSlices, count_unshown, slice_annotations
from detect.data.sources import require_masks, without_difficult
from detect.errors import UserError


@dataclass(frozen=True)
class TrainingSplit:
    """The images that are trained on, slices and repetitions among them.

    num_objects: the objects to learn from, each counted once in however many slices it is, without crowds; notes: lines
    for the log.
    """

    annotations: Annotations
    num_objects: int
    notes: tuple[str, ...]


def prepare_training(read: Annotations, config: Config) -> TrainingSplit:
    """Return what is trained on of a split that was read, which has objects.

    Raises UserError if the settings leave no object of it, and for an object without a mask that the model would learn.
    """
    train = read if config.data.train_on_difficult else without_difficult(read)
    if len(train.boxes) == 0:
        raise UserError(
            "data.train_on_difficult: expected true where all objects to train on are difficult, found false and "
            f"{len(read.boxes)} difficult objects in {len(read)} images"
        )
    if config.model.predicts_masks:
        require_masks(train)
    num_objects = int((~train.crowd).sum())
    all_crowds = f"splits: all {len(train.boxes)} objects to train on are crowds, from which nothing is learnt"
    split = TrainingSplit(annotations=train, num_objects=num_objects, notes=() if num_objects else (all_crowds,))
    slices, threshold = build_training_slices(config), config.data.repeat_factor_threshold
    if slices is not None:
        split = _cut(split, slices, config.seed)
    if threshold:
        split = replace(split, annotations=repeat_factor_sampling(split.annotations, threshold, config.seed))
    return split


def _cut(split: TrainingSplit, slices: TrainingSlices, seed: int) -> TrainingSplit:
    """Return the slices of a split. Raises UserError if none has an object."""
    whole = split.annotations
    num_unshown, cut = count_unshown(whole, slices), slice_annotations(whole, slices, seed)
    num_objects = split.num_objects - (0 if slices.whole else num_unshown)
    if len(cut) == 0 or num_objects == 0 < split.num_objects:
        raise UserError(
            "data.slice.size: expected slices with objects, found none that shows the fraction "
            f"{slices.min_visibility:g} of one of {split.num_objects} objects, without crowds; raise it, lower "
            "data.slice.min_visibility, or set data.slice.whole=true"
        )
    consequence = "are in whole images alone" if slices.whole else "are not trained on"
    unshown = f"; {num_unshown} objects of which no slice shows enough {consequence}" if num_unshown else ""
    line = f"slices: {len(cut)} images to train on, with slices, of {len(whole)}{unshown}"
    return TrainingSplit(annotations=cut, num_objects=num_objects, notes=(*split.notes, line))
