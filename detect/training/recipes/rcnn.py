"""Recipe `rcnn`: train a network as a softmax; then fit, on its features, linear SVMs and box regressors.

R-CNN (section 2.3, appendices B and C) takes both fits, or with ``model.classifier: softmax`` the regressors alone.
Fast R-CNN with ``model.classifier: svm`` takes the SVMs and keeps the boxes that it has learned (section 5.4).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from detect.config import Config
from detect.config.builders.detector import empty_detector
from detect.models.heads.rcnn import FittedHead, set_svms
from detect.training.context import Outcome, Work
from detect.training.initial_model import Start
from detect.training.recipes.artifacts import FittedFiles, fits_boxes, fits_svms, trained_network
from detect.training.recipes.crop_cost import say_crops
from detect.training.recipes.features import compute_features, reserve_features
from detect.training.recipes.finish import finish
from detect.training.recipes.fits import fit_regressors, fit_svms, read_fit
from detect.training.recipes.stages import Stage, carry_out, stage_work
from detect.training.trainer import train_network


def rcnn(work: Work, start: Start | None = None) -> Outcome:
    """All stages, or those that are left; the run's folder has the network's as ``network``."""
    network = stage_work(work, "network", _as_softmax(work.config))
    files = FittedFiles(work.folder.path)
    unreadable = list(work.unreadable)

    def train() -> None:
        unreadable.extend(train_network(network, start).unreadable)

    def compute() -> None:
        unreadable.extend(compute_features(work, network, files))

    stages = [
        Stage("network", "a softmax over regions, trained by its losses", train),
        Stage("features", "of the training images' regions", compute),
    ]
    if fits_svms(work):
        stages.append(Stage("svms", "with hard negatives", partial(fit_svms, work, network, files)))
    if fits_boxes(work):
        stages.append(Stage("regressors", "of the boxes", partial(fit_regressors, work, network, files)))
    if not files.begun:
        detector = empty_detector(network.config, work.train.classes).to(work.compute.device)
        say_crops(work, network, detector)
        reserve_features(work, detector, files)
    carry_out(stages, work)
    step, weights = _put_together(work, network, files)
    outcome = finish(work, weights, step, unreadable)
    files.remove_features()
    return outcome


def _as_softmax(config: Config) -> Config:
    """The settings of the network's training: by its losses, validated only with the fits that are to come."""
    recipe = "rcnn" if config.model.kind == "rcnn" else "joint"
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"classifier": "softmax"}),
            "train": config.train.model_copy(update={"recipe": recipe, "validate_every": None}),
        }
    )


def _put_together(work: Work, network: Work, files: FittedFiles) -> tuple[int, dict[str, Tensor]]:
    """The network's step and its weights with what was fitted in their place."""
    trained = trained_network(network)
    if fits_svms(work):
        set_svms(trained.head.logits, *read_fit(files.svms))
    if fits_boxes(work):
        assert isinstance(trained.head, FittedHead)
        trained.head.set_regressors(*read_fit(files.regressors))
    return trained.checkpoint.step, trained.detector.state_dict()
