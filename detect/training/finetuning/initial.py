"""The detector that a fine-tuning starts from, and the settings that are taken from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.zoo import COCO, ZOO, read_model
from detect.config import to_dict
from detect.errors import UserError
from detect.system.tensor_files import hub_path

SHIPPED = "detect/voc_faster_rcnn"
_TAKEN_DATA_KEYS = ("min_size", "max_size", "size_divisor")


def _is_cached(url: str) -> bool:
    """Return whether the file of a URL has been downloaded."""
    return hub_path(url).is_file()


def default_initial(has_cuda: bool, is_cached: Callable[[str], bool] = _is_cached) -> tuple[str, str]:
    """Return the name of the detector to start from, and why, where ``model.init`` is not set.

    With a GPU it is the Faster R-CNN of COCO with the highest AP whose file is cached, else the one that ships.
    """
    if has_cuda:
        cached = {
            name: model.ap
            for name, model in ZOO.items()
            if "faster" in name and model.data == COCO and is_cached(model.url)
        }
        if cached:
            return max(cached, key=lambda name: cached[name]), "the best detector of COCO that is cached, on a GPU"
    return SHIPPED, "the detector that ships"


def read_initial(model: str) -> Checkpoint:
    """Return the checkpoint of ``model.init``.

    Raises UserError unless it is a Faster R-CNN with a softmax and without masks, which are not read.
    """
    try:
        checkpoint, file = read_model(Path(model))
    except UserError as error:
        raise UserError(f"model.init: {error}") from None
    settings = checkpoint.config.model
    is_other = settings.kind != "faster_rcnn" or settings.uses_precomputed_proposals or settings.predicts_masks
    if is_other or settings.classifier != "softmax":
        proposals, masks = settings.proposal_source, ", which predicts masks" if settings.predicts_masks else ""
        raise UserError(
            f"model.init: {file}: expected a faster_rcnn with an RPN and a softmax with train.auto, found a "
            f"{settings.kind} with {proposals} and {settings.classifier}{masks}"
        )
    return checkpoint


def settings_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the settings that are taken from the initial model: the whole model, and the size of its images.

    Initial weights of the backbone are not among them: those of the checkpoint replace them.
    """
    settings = to_dict(checkpoint.config)
    model, data = settings["model"], settings["data"]
    return {
        "model": model | {"backbone": model["backbone"] | {"weights": None}},
        "data": {key: data[key] for key in _TAKEN_DATA_KEYS},
    }
