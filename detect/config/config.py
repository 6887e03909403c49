"""All settings of a run."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from detect.config.base import ConfigModel, Device
from detect.config.data import DataConfig
from detect.config.model import ModelConfig
from detect.config.train import TrainConfig


class Config(ConfigModel):
    """All settings of a run: model, data and training."""

    seed: int = 0
    """Seed of all random draws."""
    device: Device = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig(epochs=1)

    @model_validator(mode="before")
    @classmethod
    def _apply_recipe_default(cls, settings: Any) -> Any:
        """Return the settings with the recipe of the model if none is set: rcnn for R-CNN and for SVMs, adversarial
        with an adversary, else joint.
        """
        if not isinstance(settings, dict):
            return settings
        model, train = settings.get("model"), settings.get("train")
        if isinstance(model, dict) and isinstance(train, dict):
            needs_fits = model.get("kind") == "rcnn" or model.get("classifier") == "svm"
            adversary = model.get("adversary")
            has_adversary = isinstance(adversary, dict) and adversary.get("type", "none") != "none"
            recipe = "rcnn" if needs_fits else "adversarial" if has_adversary else "joint"
            return settings | {"train": {"recipe": recipe} | train}
        return settings

    @model_validator(mode="after")
    def _check_recipe(self) -> Config:
        """Raise ValueError if the recipe does not train such a model, or trains none of its parts."""
        model, recipe = self.model, self.train.recipe
        model_key = "model.kind rcnn" if model.kind == "rcnn" else f"model.classifier {model.classifier}"
        if recipe == "pretrain":
            if model.kind != "rcnn" or model.classifier != "softmax":
                raise ValueError(f"train.recipe: expected a softmax rcnn with pretrain, found {model_key}")
        elif (model.kind == "rcnn" or model.classifier == "svm") != (recipe == "rcnn"):
            raise ValueError(
                f"train.recipe: expected {'joint' if recipe == 'rcnn' else 'rcnn'} with {model_key}, found {recipe}"
            )
        if self.train.has_stages and self.train.patience is not None:
            raise ValueError(
                f"train.patience: expected null with train.recipe {recipe}, which validates once, at the end, "
                f"found {self.train.patience}"
            )
        if recipe == "alternating" and model.uses_precomputed_proposals:
            raise ValueError(
                f"train.recipe: expected joint with model.proposals {model.proposal_source}, found alternating"
            )
        return self

    @model_validator(mode="after")
    def _check_adversary(self) -> Config:
        """Raise ValueError for an adversary that the recipe leaves out, and where it is trained without the detector.

        The recipe adversarial without an adversary is the control with the same stages.
        """
        adversary, train = self.model.adversary, self.train
        if adversary.type != "none" and train.recipe != "adversarial":
            raise ValueError(
                f"train.recipe: expected adversarial with model.adversary.type {adversary.type}, found {train.recipe}"
            )
        if train.trains_adversary_alone and (train.trainable != ("adversary",) or not adversary.learns):
            reason = f"model.adversary.type {adversary.type}" if not adversary.learns else "adversary, which is alone"
            trainable = ", ".join(train.trainable)
            raise ValueError(
                f"train.trainable: expected no other part or no adversary with {reason}, found {trainable}"
            )
        return self

    @model_validator(mode="after")
    def _check_trainable(self) -> Config:
        """Raise ValueError if none of the parts that are trained has a loss, or the recipe needs others."""
        model, parts = self.model, set(self.train.trainable)
        trainable = ", ".join(self.train.trainable)
        if self.train.trains_adversary_alone:
            return self
        if not (self.train.trains_head or ("proposer" in parts and not model.uses_precomputed_proposals)):
            parts_with_loss = "head" if model.uses_precomputed_proposals else "head or proposer"
            raise ValueError(f"train.trainable: expected {parts_with_loss} among them, found {trainable}")
        if "box_regressor" in parts and not model.head.box_weight:
            raise ValueError(
                f"train.trainable: expected no box_regressor, as model.head.box_weight 0 is no loss, found {trainable}"
            )
        if "mask" in parts and not model.predicts_masks:
            raise ValueError(f"train.trainable: expected no mask, as model.mask.pool_size is null, found {trainable}")
        if model.classifier == "svm" and not {"head", "classifier"} & parts:
            raise ValueError(f"train.trainable: expected head among them for SVMs, found {trainable}")
        if self.train.recipe == "alternating" and not {"backbone", "proposer", "head"} <= parts:
            raise ValueError(
                "train.trainable: expected backbone, proposer and head with train.recipe alternating, "
                f"found {trainable}"
            )
        return self


def to_dict(config: ConfigModel) -> dict[str, Any]:
    """Return all settings as nested dicts, lists and plain values."""
    return config.model_dump(mode="json")
