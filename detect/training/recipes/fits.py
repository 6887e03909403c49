"""The fits on cached features: linear SVMs and box regressors. Each goes on where an earlier run was cut off."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from detect.system.progress import display
from detect.training.context import Work
from detect.training.recipes.artifacts import FittedFiles, trained_network
from detect.training.svm.arrays import read_arrays, write_arrays
from detect.training.svm.examples import feature_scale
from detect.training.svm.hard_negatives import Mining, MiningRule
from detect.training.svm.linear_svm import SvmRule
from detect.training.svm.regions import TableRoles, read_table
from detect.training.svm.ridge import fit_regressor
from detect.training.svm.state import read_state, write_state

_SECONDS_BETWEEN_STATES = 20.0


def fit_svms(work: Work, network: Work, files: FittedFiles) -> None:
    """One pass over the images that mines hard negatives and trains an SVM for each class (R-CNN, section 2.3)."""
    trained, table, settings = trained_network(network), read_table(files.table), work.config.train.svm
    classes = len(work.train.classes)
    rule = MiningRule(
        SvmRule(settings.cost, settings.bias, settings.positive_weight),
        settings.overlap,
        settings.retrain,
        settings.hard,
        settings.evict,
    )
    with trained.vectors(files) as cache, display(work.console, "mining", len(table), "images") as shown:
        features = cache.ordered(table.keys.tolist())
        state = read_state(files.mining) if files.mining.exists() else None
        scale = feature_scale(features, work.config.seed)
        mining = Mining(features, TableRoles(table, classes), classes, cache.length, scale, rule, state)
        if mining.done:
            shown.found_done(mining.done)
        written = time.monotonic()
        for _ in mining.run():
            shown.advance(1)
            if time.monotonic() - written > _SECONDS_BETWEEN_STATES:
                write_state(files.mining, mining.state())
                written = time.monotonic()
        write_state(files.mining, mining.state())
        weight, bias = mining.svms()
        kept = sum(len(keys) for keys in mining.state().negatives)
    write_fit(files.svms, torch.from_numpy(weight), torch.from_numpy(bias))
    work.say(f"{int(mining.trained.sum())} SVMs of {classes} classes, {kept} hard negatives at the end")


def fit_regressors(work: Work, network: Work, files: FittedFiles) -> None:
    """For each class four ridge regressions on the features of the regions near an object (R-CNN, appendix C)."""
    trained, table = trained_network(network), read_table(files.table)
    settings, classes = work.config.train.regressor, len(work.train.classes)
    # The cache holds the examples alone, so that theirs are all its rows.
    examples = [replace(one, rows=np.arange(len(one.rows))) for one in table.examples(settings.overlap)]
    done = read_fit(files.regressors) if files.regressors.exists() else None
    fitted = [] if done is None else list(zip(*done, strict=True))
    with trained.inputs(files) as cache, display(work.console, "box regressors", classes, "classes") as shown:
        features = cache.ordered(table.keys.tolist())
        with trained.norms(files) as norms:
            scale = feature_scale(norms.ordered(table.keys.tolist()), work.config.seed)
        if fitted:
            shown.found_done(len(fitted))
        for label in range(len(fitted) + 1, classes + 1):
            stds = work.config.model.head.stds
            fitted.append(fit_regressor(features, examples, label, cache.length, scale, stds, settings.penalty))
            write_fit(files.regressors, *(torch.stack(parts) for parts in zip(*fitted, strict=True)))
            shown.advance(1)
    work.say(f"box regressors of {classes} classes, from {sum(len(one.rows) for one in examples)} regions")


def write_fit(path: Path, weight: Tensor, bias: Tensor) -> None:
    """Write an ``.npz``, whole or not at all. Raises WorkError."""
    write_arrays(path, {"weight": weight.numpy(), "bias": bias.numpy()})


def read_fit(path: Path) -> tuple[Tensor, Tensor]:
    """The weight and bias that ``write_fit`` wrote; UserError where the file is something else."""
    weight, bias = read_arrays(path, "fitted weights", ("weight", "bias"))
    return torch.from_numpy(weight), torch.from_numpy(bias)
