"""Recipes by name: what ``train.recipe`` may say."""

from __future__ import annotations

from collections.abc import Callable

from detect.training.network import train_network
from detect.training.recipes.alternating import alternating
from detect.training.recipes.classify import classify
from detect.training.recipes.rcnn import rcnn
from detect.training.start import Start
from detect.training.work import Outcome, Work

RECIPES: dict[str, Callable[[Work, Start | None], Outcome]] = {
    "joint": train_network,
    "alternating": alternating,
    "rcnn": rcnn,
    "classify": classify,
}
