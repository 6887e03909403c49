"""Recipe `rcnn`: train a network with a softmax; then fit linear SVMs and box regressors on its features.

R-CNN (section 2.3, appendices B and C) uses both fits, or with ``model.classifier: softmax`` the regressors alone.
Fast R-CNN with ``model.classifier: svm`` uses the SVMs and keeps its trained box regression (section 5.4).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from detect.config import Config
from detect.config.builders.detector import build_uninitialized
from detect.models.heads.rcnn import set_svms
from detect.training.context import RunContext, TrainingResult
from detect.training.initial_model import InitialModel, without_svm_features
from detect.training.recipes.artifacts import StageArtifacts, fits_regressors, fits_svms, load_trained_network
from detect.training.recipes.crop_cost import log_crop_cost
from detect.training.recipes.features import check_feature_space, compute_features
from detect.training.recipes.finish import finish
from detect.training.recipes.fits import fit_regressors, fit_svms, read_fit
from detect.training.recipes.stages import Stage, run_stages, stage_context
from detect.training.trainer import train_model


def rcnn(context: RunContext, initial: InitialModel | None = None) -> TrainingResult:
    """Run all stages, or those still to do; the network is trained in the folder ``network`` of the run folder."""
    network_context = stage_context(context, "network", _softmax_config(context.config))
    artifacts = StageArtifacts(context.folder.path)
    unreadable = list(context.unreadable)

    def train_softmax() -> None:
        unreadable.extend(train_model(network_context, initial).unreadable)

    def extract_features() -> None:
        unreadable.extend(compute_features(context, network_context, artifacts))

    stages = [
        Stage(name="network", description="train the network with a softmax over regions", run=train_softmax),
        Stage(
            name="features",
            description="extract the features of the training images' regions",
            run=extract_features,
        ),
    ]
    if fits_svms(context):
        stages.append(
            Stage(
                name="svms",
                description="fit linear SVMs with hard negatives",
                run=partial(fit_svms, context, network_context, artifacts),
            )
        )
    if fits_regressors(context):
        stages.append(
            Stage(
                name="regressors",
                description="fit box regressors",
                run=partial(fit_regressors, context, network_context, artifacts),
            )
        )
    if not artifacts.has_started:
        network, detector = (
            build_uninitialized(settings, context.train.classes).to(context.compute.device)
            for settings in (network_context.config, context.config)
        )
        log_crop_cost(context, network_context, network)
        check_feature_space(context, detector, artifacts)
    run_stages(stages, context)
    step, weights = _assemble(context, network_context, artifacts)
    training_result = finish(context, weights, step, unreadable)
    artifacts.remove_features()
    return training_result


def _softmax_config(config: Config) -> Config:
    """Return the configuration of the network's training: with a softmax, validated only after the fits."""
    recipe = "rcnn" if config.model.kind == "rcnn" else "joint"
    network_config = without_svm_features(config)
    return network_config.model_copy(
        update={
            "model": network_config.model.model_copy(update={"classifier": "softmax"}),
            "train": config.train.model_copy(update={"recipe": recipe, "validate_every": None}),
        }
    )


def _assemble(
    context: RunContext, network_context: RunContext, artifacts: StageArtifacts
) -> tuple[int, dict[str, Tensor]]:
    """Return the network's step, and its weights with the fitted SVMs and box regressors in place of its own."""
    trained = load_trained_network(context, network_context)
    if fits_svms(context):
        set_svms(trained.head.logits, *read_fit(artifacts.svms))
    if fits_regressors(context):
        trained.head.set_regressors(*read_fit(artifacts.regressors))
    return trained.checkpoint.step, trained.detector.state_dict()
