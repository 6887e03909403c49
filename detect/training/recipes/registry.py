"""The recipes by name, the values of ``train.recipe``."""

from __future__ import annotations

from collections.abc import Callable

from detect.training.context import RunContext, TrainingResult
from detect.training.initial_model import InitialModel
from detect.training.recipes.adversarial import adversarial
from detect.training.recipes.alternating import alternating
from detect.training.recipes.pretrain import pretrain
from detect.training.recipes.rcnn import rcnn
from detect.training.trainer import train_model

RECIPES: dict[str, Callable[[RunContext, InitialModel | None], TrainingResult]] = {
    "joint": train_model,
    "alternating": alternating,
    "rcnn": rcnn,
    "adversarial": adversarial,
    "pretrain": pretrain,
}
