"""Settings of training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from detect.config.base import ConfigModel, Fraction, NonNegative, Positive, Precision

TrainablePart = Literal["backbone", "proposer", "head", "classifier", "box_regressor", "mask", "adversary"]
HEAD_PARTS: frozenset[TrainablePart] = frozenset({"head", "classifier", "box_regressor", "mask"})


class SVMConfig(ConfigModel):
    """Settings of the SVMs that replace the softmax (R-CNN, section 2.3 and its authors' code)."""

    C: Positive = 1e-3
    """Weight of the hinge loss against the squared norm of the weights, for features of mean norm 20."""
    intercept_scaling: Positive = 10.0
    """Constant feature that is appended to each vector; its weight is the intercept (as in scikit-learn)."""
    positive_weight: Positive = 2.0
    """Weight of a positive in the hinge loss; a negative has 1."""
    negative_iou: Fraction = 0.3
    """Upper bound of the IoU with every object of a class under which a region is a negative of it; with 0 it is a
    negative where it overlaps none of them (0.5 costs the paper 5 points, 0 costs it 4)."""
    retrain_every: PositiveInt = 2000
    """Number of new hard negatives after which an SVM is trained again."""
    hard_margin: float = -1.0001
    """Margin above which a negative is hard and is added."""
    easy_margin: float = -1.2
    """Margin below which a hard negative is dropped when the SVM has been trained again."""


class RegressorConfig(ConfigModel):
    """Settings of R-CNN's box regressors (appendix C)."""

    min_iou: Fraction = 0.6
    """Lowest IoU with an object at which a region is used for the regression."""
    ridge_lambda: Positive = 1000.0
    """Weight of the ridge penalty (lambda), for features of mean norm 20."""


class LRFactorsConfig(ConfigModel):
    """Settings of the learning rates of parts: factors on lr. Those of a part, of a layer in it and of its biases are
    multiplied: classifier 10 and bias 2 are 20 for the bias of the classifier (R-CNN)."""

    backbone: Positive = 1.0
    """Factor for the pretrained layers of the backbone."""
    proposer: Positive = 1.0
    """Factor for the region proposal network."""
    objectness: Positive = 1.0
    """Factor for the layer of the region proposal network that predicts objectness (2: one logit then learns as fast as
    the difference of the two of a softmax, the paper's)."""
    head: Positive = 1.0
    """Factor for the head: the network's last layers, the classifier, the box regressor and the mask head."""
    classifier: Positive = 1.0
    """Factor for the layer of the head that predicts the classes."""
    box_regressor: Positive = 1.0
    """Factor for the layer of the head that predicts the deltas."""
    bias: Positive = 1.0
    """Factor for the biases of convolutions and fully connected layers (Caffe's models: 2)."""


class AdversarialConfig(ConfigModel):
    """Settings of the recipe adversarial: the lengths of its stages."""

    detector_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Fraction of the length of the run for which the detector is trained alone first; the rest is the joint training
    (10,000 of 50,000 iterations in the authors' code)."""
    adversary_fraction: Positive = 0.5
    """Length of the training of the adversary on the frozen detector, as a fraction of that of the run, which it is
    added to (25,000 of 50,000 iterations in the authors' code)."""


class TrainConfig(ConfigModel):
    """Settings of the training: recipe, length, optimizer and validation."""

    auto: bool = False
    """Whether all settings that are not set are chosen, as in configs/finetune.yaml: those of the model are taken from
    the detector of model.init, the others follow from the training images and their objects. The config.yaml of the run
    has them all, with auto off."""
    recipe: Literal["joint", "alternating", "rcnn", "adversarial", "pretrain"] = "joint"
    """Way to train. joint: all losses in one step; alternating: Faster R-CNN's four steps; rcnn: train the network,
    then fit SVMs and box regressors; adversarial: train the detector alone, then the adversary, then both against each
    other; pretrain: the network alone as a classifier of objects (`detect pretrain`)."""
    trainable: Annotated[tuple[TrainablePart, ...], Field(min_length=1)] = ("backbone", "proposer", "head")
    """Parts that are trained; the others keep their weights. `[backbone, proposer]` trains an RPN alone; classifier and
    box_regressor are the two output layers of the head, and mask is its mask head; adversary alone is for a stage of
    the recipe adversarial."""
    epochs: PositiveInt | None = None
    """Number of passes over the training images; set either this or steps. With model.head.sampling global the
    model.head.batch_size_per_image regions of a step are of as many images, or nearly: a pass then is as many regions
    as there are images."""
    steps: PositiveInt | None = None
    """Number of optimizer steps; set either this or epochs."""
    batch_size: PositiveInt = 2
    """Number of images in a batch (with model.head.sampling global in validation only)."""
    rpn_steps: PositiveInt | None = None
    """Number of optimizer steps of each region proposal network of the alternating recipe; null for as many as a
    detector."""
    rpn_batch_size: PositiveInt | None = None
    """Number of images in a batch of these networks; null for as many as for a detector."""
    rpn_milestones: tuple[Fraction, ...] | None = None
    """Milestones of these networks; null for those of a detector."""
    accumulate: PositiveInt = 1
    """Number of batches whose gradients are averaged into one step."""
    optimizer: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    """Optimizer that updates the weights."""
    lr: Positive = 1e-3
    """Learning rate after warm-up."""
    momentum: Fraction = 0.9
    """Momentum of sgd and rmsprop."""
    weight_decay: NonNegative = 5e-4
    """Weight decay; biases and normalization layers have none."""
    bias_decay: bool = False
    """Whether the biases of convolutions and fully connected layers have weight decay too (py-faster-rcnn)."""
    lr_factors: LRFactorsConfig = LRFactorsConfig()
    schedule: Literal["constant", "step", "cosine"] = "step"
    """Decay of the learning rate."""
    milestones: tuple[Fraction, ...] = (5 / 7,)
    """Points at which the step schedule lowers the learning rate, as fractions of the run (py-faster-rcnn: 50k of
    70k)."""
    gamma: Fraction = 0.1
    """Factor of the step schedule on the learning rate at each milestone."""
    warmup: Fraction = 0.0
    """Fraction of the run over which the learning rate rises from a thousandth of lr."""
    clip_grad_norm: NonNegative = 0.0
    """Largest norm of the gradients, to which larger ones are scaled down; 0 for no limit."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of the weights, which is evaluated and saved; 0 for none."""
    precision: Precision | Literal["auto"] = "fp32"
    """Number format of the networks' computation; boxes, losses and weights stay fp32. auto: bf16 where the device has
    it natively and this model is quicker in it, else fp32, measured when the run starts and written into its settings.
    On a GPU, convolutions in fp32 round their inputs to TF32 (10 bits), as torch does by default."""
    deterministic: bool = False
    """Whether a GPU is made to give the same bits in every run, as a CPU does anyway (not run on a GPU yet; torch says
    that this can be slower). An operation that has no such form there (roi_pool, spatial_transformer, astn, the pooling
    of R-CNN's crops) ends the run with one line."""
    validate_every: PositiveInt | None = 1
    """Number of epochs between two validations; the last epoch is always validated. null: there is no validation, and
    the last weights are kept."""
    patience: PositiveInt | None = None
    """Number of validations without a better metric after which a joint or pretrain run stops; null for no early
    stop."""
    log_every: PositiveInt = 20
    """Number of steps between two rows of metrics.csv."""
    loggers: tuple[Literal["tensorboard", "mlflow"], ...] = ()
    """Programs that get these rows, the settings and the pictures too. tensorboard: event files in the run folder (`pip
    install tensorboard`); mlflow: a run in the folder mlruns, or where MLFLOW_TRACKING_URI leads (`pip install
    mlflow-skinny`)."""
    checkpoint_every: PositiveInt = 500
    """Number of steps between two writes of last.pt within an epoch."""
    feature_cache_gb: Positive = 20.0
    """Largest size in gigabytes, on the disk, of the cached features that SVMs and regressors are fitted on."""
    svm: SVMConfig = SVMConfig()
    regressor: RegressorConfig = RegressorConfig()
    adversarial: AdversarialConfig = AdversarialConfig()

    @model_validator(mode="before")
    @classmethod
    def _read_tensorboard(cls, settings: Any) -> Any:
        """Read ``tensorboard``, which older versions had, as one of the loggers; every older checkpoint has it."""
        if not isinstance(settings, dict) or not isinstance(settings.get("tensorboard"), bool):
            return settings
        others = {key: setting for key, setting in settings.items() if key != "tensorboard"}
        names = others.get("loggers", ())
        if settings["tensorboard"] and isinstance(names, list | tuple) and "tensorboard" not in names:
            others["loggers"] = (*names, "tensorboard")
        return others

    @model_validator(mode="after")
    def _require_one_length(self) -> TrainConfig:
        if self.epochs is None and self.steps is None and self.auto:
            return self  # the length will be chosen
        if (self.epochs is None) == (self.steps is None):
            which = "neither" if self.epochs is None else "both"
            raise ValueError(f"expected either epochs or steps, found {which} (e.g. --set train.epochs=7)")
        return self

    @property
    def has_stages(self) -> bool:
        """Return whether the recipe trains in stages, so that it validates once, at its end."""
        return self.recipe in ("alternating", "rcnn", "adversarial")

    @property
    def trains_adversary_alone(self) -> bool:
        """Return whether the adversary is trained on a frozen detector."""
        return "adversary" in self.trainable

    @property
    def trains_head(self) -> bool:
        """Return whether the head or a layer of it is trained."""
        return not HEAD_PARTS.isdisjoint(self.trainable)

    @model_validator(mode="after")
    def _check_rpn_settings(self) -> TrainConfig:
        for key in ("rpn_steps", "rpn_batch_size", "rpn_milestones"):
            if getattr(self, key) is not None and self.recipe != "alternating":
                raise ValueError(
                    f"{key}: expected null with recipe {self.recipe} (alternating trains an RPN alone), "
                    f"found {getattr(self, key)}"
                )
        return self

    @model_validator(mode="after")
    def _check_patience(self) -> TrainConfig:
        if self.patience is not None and self.validate_every is None:
            raise ValueError(f"patience: expected null where validate_every is null, found {self.patience}")
        return self
