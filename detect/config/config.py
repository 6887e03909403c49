"""All settings of a run."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from detect.config.base import Device, Section
from detect.config.data import DataConfig
from detect.config.model import ModelConfig
from detect.config.train import TrainConfig


class Config(Section):
    """A whole run."""

    seed: int = 0
    """The root of every random draw."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU when there is one."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig(epochs=1)

    @model_validator(mode="before")
    @classmethod
    def _recipe_of_the_model(cls, settings: Any) -> Any:
        """Where no recipe is set, R-CNN and SVMs bring theirs."""
        if not isinstance(settings, dict):
            return settings
        model, train = settings.get("model"), settings.get("train")
        if isinstance(model, dict) and isinstance(train, dict):
            fits = model.get("kind") == "rcnn" or model.get("classifier") == "svm"
            return settings | {"train": {"recipe": "rcnn" if fits else "joint"} | train}
        return settings

    @model_validator(mode="after")
    def _possible_recipe(self) -> Config:
        model, recipe = self.model, self.train.recipe
        what = "model.kind rcnn" if model.kind == "rcnn" else f"model.classifier {model.classifier}"
        if recipe == "classify":
            if model.kind != "rcnn" or model.classifier != "softmax":
                raise ValueError(f"train.recipe: expected a softmax rcnn with classify, found {what}")
        elif (model.kind == "rcnn" or model.classifier == "svm") != (recipe == "rcnn"):
            raise ValueError(
                f"train.recipe: expected {'joint' if recipe == 'rcnn' else 'rcnn'} with {what}, found {recipe}"
            )
        learning = {"head"} if model.given else {"head", "proposer"}
        if not learning & set(self.train.parts):
            found = ", ".join(self.train.parts)
            raise ValueError(f"train.parts: expected {' or '.join(sorted(learning))} among them, found {found}")
        found = ", ".join(self.train.parts)
        if model.classifier == "svm" and "head" not in self.train.parts:
            raise ValueError(f"train.parts: expected head among them for SVMs, found {found}")
        if recipe == "alternating" and len(set(self.train.parts)) < 3:
            raise ValueError(f"train.parts: expected all three with train.recipe alternating, found {found}")
        if recipe in ("alternating", "rcnn") and self.train.patience is not None:
            raise ValueError(
                f"train.patience: expected null with train.recipe {recipe}, which validates once, at the end, "
                f"found {self.train.patience}"
            )
        if recipe == "alternating" and model.given:
            raise ValueError(f"train.recipe: expected joint with model.proposals {model.proposals}, found alternating")
        return self


def as_plain(config: Section) -> dict[str, Any]:
    """The whole configuration as dicts, lists and plain values."""
    return config.model_dump(mode="json")
