"""Chooses the length, the learning rate, what is frozen and the validation of a fine-tuning from its data set's size.

Each choice can be set instead; those that depend on it follow. One point was measured: 8 epochs on 164 kangaroos and on
200 raccoons, at a rate of 3e-4 and 8 images a step, started from a detector of VOC 2007 (VOC07 mAP 0.85 and 0.90; from
ImageNet's weights 0.62 on the former). The other constants are extrapolated from it. All figures of this file were seen
once, in runs whose commands are not kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from detect.training.finetuning.choice import Choice

# Passes over the images: EPOCHS for EPOCHS_AT images, DECAY times as many for ten times the images. 205 images of 384
# pixels then take 4.6 minutes of two cores (BCCD, from the packaged detector).
EPOCHS, EPOCHS_AT, DECAY, MIN_EPOCHS = 24, 20, 0.27, 3
MIN_STEPS = 80  # new output layers need as many, however few images there are
LARGE_BATCH_FROM = 400  # images; with fewer, small batches make more steps of the same time
# Of AdamW, and of one image of the batch. On 145 images of blood cells (BCCD's train, the other 60 of it to validate)
# it gave a VOC07 mAP of 0.875 after 4 of 8 epochs and 0.862 at the end, half as much 0.859 and 0.862.
LR_PER_IMAGE = 1e-4
MAX_LR = 4e-4  # a higher rate was not tried
# Under so many the backbone keeps its weights, as in few-shot detection (Wang et al. 2020, section 3). On 20 photos
# with 29 animals of six kinds (VOC 2007 val; 100 steps, one seed): VOC07 mAP 0.43 so, 0.24 where all parts are trained.
FEW_OBJECTS = 100
MAX_VALIDATIONS, PATIENCE = 5, 3


@dataclass(frozen=True)
class DataSize:
    """The numbers of training images and of their objects.

    images: those of a pass, slices and repetitions among them, as they take its time; objects: each counted once.
    """

    images: int
    objects: int


@dataclass(frozen=True)
class SetByUser:
    """The settings of ``train`` that other choices follow; None for those that are not set.

    accumulate: batches of a step; validates: whether there are validations before the end, which can stop the training;
    needs_all_parts: whether the recipe trains each part in a stage of its own, so that none is frozen.
    """

    batch_size: int | None = None
    accumulate: int = 1
    epochs: int | None = None
    steps: int | None = None
    validates: bool = True
    needs_all_parts: bool = False


def choose_schedule(size: DataSize, given: SetByUser, on_gpu: bool) -> tuple[Choice, ...]:
    """Return the choices for a training on ``size.images`` >= 1 images, those of keys that are set among them."""
    batch_size, batch_reason = _batch_size(size, on_gpu)
    used_batch_size = given.batch_size or batch_size
    images_per_step = used_batch_size * given.accumulate
    steps_per_epoch = math.ceil(size.images / used_batch_size) / given.accumulate  # as the loop counts them
    epochs = _epochs(size.images, steps_per_epoch)
    given_epochs = given.epochs if given.steps is None else math.ceil(given.steps / steps_per_epoch)
    used_epochs = given_epochs or epochs
    early_end = ", and validation ends it where it stops improving" if given.validates else ""
    validate_every = -(-used_epochs // MAX_VALIDATIONS)
    choices = [
        Choice("train.batch_size", batch_size, batch_reason),
        Choice(
            "train.epochs",
            epochs,
            f"{size.images} images: {math.ceil(epochs * steps_per_epoch)} steps{early_end}",
        ),
        Choice("train.lr", _lr(images_per_step), f"AdamW with {images_per_step} images a step"),
    ]
    if not given.needs_all_parts:
        choices.append(_frozen(size))
    if given.validates:
        choices += [
            Choice("train.validate_every", validate_every, f"at most {MAX_VALIDATIONS} in {used_epochs} epochs"),
            Choice("train.patience", PATIENCE, f"stops after {PATIENCE} validations without a better metric"),
        ]
    return tuple(choices)


def _batch_size(size: DataSize, on_gpu: bool) -> tuple[int, str]:
    """Return the images of a batch, never more than there are, and why."""
    if on_gpu or size.images >= LARGE_BATCH_FROM:
        return min(8, size.images), "a GPU computes 8 images at once" if on_gpu else "many images: fewer, surer steps"
    return min(4, size.images), f"under {LARGE_BATCH_FROM} images: more steps in the same time"


def _lr(images_per_step: int) -> float:
    """Return the learning rate of AdamW, without the last digits of a product."""
    return min(MAX_LR, round(LR_PER_IMAGE * images_per_step, 8))


def _epochs(num_images: int, steps_per_epoch: float) -> int:
    """Return the number of passes over the images, with MIN_EPOCHS and MIN_STEPS at least."""
    by_images = EPOCHS * math.pow(DECAY, math.log10(num_images / EPOCHS_AT))
    return max(MIN_EPOCHS, round(by_images), math.ceil(MIN_STEPS / steps_per_epoch))


def _frozen(size: DataSize) -> Choice:
    """Return which parts are trained: with few objects those alone that depend on the classes and the anchors."""
    if size.objects < FEW_OBJECTS:
        return Choice("train.trainable", ("proposer", "head"), f"{size.objects} objects: too few for the backbone")
    return Choice("train.trainable", ("backbone", "proposer", "head"), f"{size.objects} objects: enough for all parts")
