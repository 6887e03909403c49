"""Recipes by name: what ``train.recipe`` may say."""

from __future__ import annotations

from collections.abc import Callable

from detect.training.context import Outcome, Work
from detect.training.initial_model import Start
from detect.training.recipes.alternating import alternating
from detect.training.recipes.pretrain import classify
from detect.training.recipes.rcnn import rcnn
from detect.training.trainer import train_network

RECIPES: dict[str, Callable[[Work, Start | None], Outcome]] = {
    "joint": train_network,
    "alternating": alternating,
    "rcnn": rcnn,
    "classify": classify,
}
