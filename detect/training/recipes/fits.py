"""The fits on cached features: linear SVMs and box regressors. Each resumes where an earlier run was interrupted."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from detect.system.progress import show_progress
from detect.training.context import RunContext
from detect.training.recipes.artifacts import StageArtifacts, load_trained_network
from detect.training.svm.arrays import read_arrays, write_arrays
from detect.training.svm.examples import feature_scale
from detect.training.svm.hard_negatives import HardNegativeMining, MiningConfig
from detect.training.svm.linear_svm import SvmConfig
from detect.training.svm.regions import TableRegionLabels, read_table
from detect.training.svm.ridge import fit_regressor
from detect.training.svm.state import read_state, write_state

_SECONDS_BETWEEN_STATES = 20.0


def fit_svms(context: RunContext, network_context: RunContext, artifacts: StageArtifacts) -> None:
    """Mine hard negatives in one pass over the images and train an SVM for each class (R-CNN, section 2.3)."""
    trained, table, settings = (
        load_trained_network(context, network_context),
        read_table(artifacts.table),
        context.config.train.svm,
    )
    classes = len(context.train.classes)
    config = MiningConfig(
        svm=SvmConfig(cost=settings.C, bias=settings.intercept_scaling, positive_weight=settings.positive_weight),
        negative_iou=settings.negative_iou,
        retrain_every=settings.retrain_every,
        hard_margin=settings.hard_margin,
        easy_margin=settings.easy_margin,
    )
    with (
        trained.vectors(artifacts) as cache,
        show_progress(context.console, "mining", len(table), "images") as progress,
    ):
        features = cache.for_images(table.keys.tolist())
        state = read_state(artifacts.mining) if artifacts.mining.exists() else None
        scale = feature_scale(features, context.config.seed)
        mining = HardNegativeMining(
            features=features,
            region_labels=TableRegionLabels(table, classes),
            num_classes=classes,
            length=cache.length,
            scale=scale,
            config=config,
            state=state,
        )
        if mining.done:
            progress.start_at(mining.done)
        written_at = time.monotonic()
        for _ in mining.run():
            progress.advance(1)
            if time.monotonic() - written_at > _SECONDS_BETWEEN_STATES:
                write_state(artifacts.mining, mining.state())
                written_at = time.monotonic()
        write_state(artifacts.mining, mining.state())
        weight, bias = mining.svms()
        num_negatives = sum(len(keys) for keys in mining.state().negatives)
    write_fit(artifacts.svms, torch.from_numpy(weight), torch.from_numpy(bias))
    context.log(f"{int(mining.trained.sum())} SVMs of {classes} classes, {num_negatives} hard negatives at the end")


def fit_regressors(context: RunContext, network_context: RunContext, artifacts: StageArtifacts) -> None:
    """Fit four ridge regressions for each class, on the features of regions near an object (R-CNN, appendix C)."""
    trained, table = load_trained_network(context, network_context), read_table(artifacts.table)
    settings, classes = context.config.train.regressor, len(context.train.classes)
    # The cache holds the features of the examples alone, so that row n is example n.
    examples = [replace(image, rows=np.arange(len(image.rows))) for image in table.examples(settings.min_iou)]
    earlier = read_fit(artifacts.regressors) if artifacts.regressors.exists() else None
    fitted = [] if earlier is None else list(zip(*earlier, strict=True))
    with (
        trained.inputs(artifacts) as cache,
        show_progress(context.console, "box regressors", classes, "classes") as progress,
    ):
        features = cache.for_images(table.keys.tolist())
        with trained.norms(artifacts) as norms:
            scale = feature_scale(norms.for_images(table.keys.tolist()), context.config.seed)
        if fitted:
            progress.start_at(len(fitted))
        for label in range(len(fitted) + 1, classes + 1):
            stds = context.config.model.head.delta_stds
            fitted.append(fit_regressor(features, examples, label, cache.length, scale, stds, settings.ridge_lambda))
            write_fit(artifacts.regressors, *(torch.stack(parts) for parts in zip(*fitted, strict=True)))
            progress.advance(1)
    context.log(f"box regressors of {classes} classes, from {sum(len(image.rows) for image in examples)} regions")


def write_fit(file: Path, weight: Tensor, bias: Tensor) -> None:
    """Write weights (K, F) or (K, 4, D) and biases to an ``.npz``, completely or not at all. Raises RunError."""
    write_arrays(file, {"weight": weight.numpy(), "bias": bias.numpy()})


def read_fit(file: Path) -> tuple[Tensor, Tensor]:
    """Read the weight and bias that ``write_fit`` wrote; raise UserError if the file is something else."""
    weight, bias = read_arrays(file, "fitted weights", ("weight", "bias"))
    return torch.from_numpy(weight), torch.from_numpy(bias)
