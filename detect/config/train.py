"""Settings of training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from detect.config.base import Fraction, NotNegative, Positive, Precision, Section


class SvmConfig(Section):
    """The SVMs that take the softmax's place (R-CNN, section 2.3 and its authors' code)."""

    cost: Positive = 1e-3
    """What a wrong side costs against a large weight (C), for features of mean norm 20."""
    bias: Positive = 10.0
    """The constant feature whose weight is the bias."""
    positive_weight: Positive = 2.0
    """What a positive counts."""
    overlap: Fraction = 0.3
    """A region with a lower IoU with every object of a class is a negative of it (0.5 costs the paper 5 points)."""
    retrain: PositiveInt = 2000
    """New hard negatives after which an SVM is trained anew."""
    hard: float = -1.0001
    """Negatives with a larger margin are hard."""
    evict: float = -1.2
    """Hard negatives with a smaller margin are let go."""


class RegressorConfig(Section):
    """R-CNN's box regressors (appendix C)."""

    overlap: Fraction = 0.6
    """Regions with at least this IoU teach."""
    penalty: Positive = 1000.0
    """Ridge penalty (lambda), for features of mean norm 20."""


class TrainConfig(Section):
    """How the weights are found."""

    recipe: Literal["joint", "alternating", "rcnn", "classify"] = "joint"
    """All losses in one step; Faster R-CNN's four steps; train, then fit SVMs and R-CNN's box regressors; or the
    network alone as a classifier of objects (`detect pretrain`)."""
    parts: Annotated[tuple[Literal["backbone", "proposer", "head"], ...], Field(min_length=1)] = (
        "backbone",
        "proposer",
        "head",
    )
    """Which parts learn; the others keep their weights. `[backbone, proposer]` trains an RPN alone."""
    epochs: PositiveInt | None = None
    """Passes over the training images. With model.head.sampling uniform a step's model.head.number regions are of as
    many images, or nearly: there a pass is as many regions as there are images."""
    steps: PositiveInt | None = None
    """Or how many steps of the optimiser."""
    batch_size: PositiveInt = 2
    """Images a batch (with model.head.sampling uniform only of a validation)."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged into one step."""
    optimizer: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    """The optimiser."""
    lr: Positive = 1e-3
    """Learning rate after warm-up."""
    momentum: Fraction = 0.9
    """Momentum of sgd and rmsprop."""
    weight_decay: NotNegative = 5e-4
    """Weight decay; biases and normalisations have none."""
    backbone_lr: Positive = 1.0
    """Learning rate of the body's pretrained layers, relative to lr."""
    schedule: Literal["constant", "step", "cosine"] = "step"
    """How the learning rate falls."""
    milestones: tuple[Fraction, ...] = (5 / 7,)
    """step: where it falls, as fractions of the run (py-faster-rcnn: 50k of 70k)."""
    gamma: Fraction = 0.1
    """step: by how much it is multiplied."""
    warmup: Fraction = 0.0
    """The fraction of the run over which the learning rate rises from a thousandth."""
    clip: NotNegative = 0.0
    """Gradients are scaled down to this norm; 0 for no limit."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of the weights that is evaluated and saved; 0 for none."""
    precision: Precision = "fp32"
    """What the networks compute in; boxes, losses and weights stay fp32."""
    validate_every: PositiveInt | None = 1
    """Epochs between two validations; the last epoch is always validated. null for none: the last weights are kept."""
    patience: PositiveInt | None = None
    """joint, classify: stop after this many validations without a better metric; null for never."""
    log_every: PositiveInt = 20
    """Steps between two rows of metrics.csv."""
    tensorboard: bool = False
    """Whether these rows go to TensorBoard's event files too, in the run's folder (`pip install tensorboard`)."""
    checkpoint_every: PositiveInt = 500
    """Steps between two last.pt within an epoch."""
    cache_limit: Positive = 20.0
    """The most gigabytes that the features which SVMs and regressors read may take on the disk."""
    svm: SvmConfig = SvmConfig()
    regressor: RegressorConfig = RegressorConfig()

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if (self.epochs is None) == (self.steps is None):
            found = "neither" if self.epochs is None else "both"
            raise ValueError(f"expected either epochs or steps, found {found} (e.g. --set train.epochs=7)")
        return self

    @model_validator(mode="after")
    def _patience_needs_validations(self) -> TrainConfig:
        if self.patience is not None and self.validate_every is None:
            raise ValueError(f"patience: expected null where validate_every is null, found {self.patience}")
        return self
