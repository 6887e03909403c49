"""Settings of training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from detect.config.section import Fraction, NotNegative, Positive, Precision, Section


class TrainConfig(Section):
    """How the weights are found."""

    recipe: Literal["joint"] = "joint"
    """All losses in one step."""
    epochs: PositiveInt | None = None
    """Passes over the training photos."""
    steps: PositiveInt | None = None
    """Or how many steps of the optimiser."""
    batch_size: PositiveInt = 2
    """Photos a batch."""
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
    validate_every: PositiveInt = 1
    """Epochs between two validations; the last epoch is always validated."""
    patience: PositiveInt | None = None
    """Stop after this many validations without a better metric; null for never."""
    log_every: PositiveInt = 20
    """Steps between two rows of metrics.csv."""
    checkpoint_every: PositiveInt = 500
    """Steps between two last.pt within an epoch."""

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if (self.epochs is None) == (self.steps is None):
            found = "neither" if self.epochs is None else "both"
            raise ValueError(f"expected either epochs or steps, found {found} (e.g. --set train.epochs=7)")
        return self
