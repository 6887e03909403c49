"""The command ``detect pretrain``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_folder

# R-CNN's network on crops, as a classifier. Batch norm is trained: there are no known statistics to freeze.
NETWORK = ("model.backbone.norm=batch", "model.backbone.output=c4", "model.backbone.frozen_stages=0")
CLASSIFIER = (
    "model.kind=rcnn",
    "model.classifier=softmax",
    "model.head.type=backbone",
    "model.head.sampling=global",
    "train.recipe=pretrain",
)


@click.command(
    "pretrain", epilog="Example: detect pretrain --config voc07/fast_rcnn_caffenet --set data.root=VOCdevkit/VOC2007"
)
@click.option(
    "--config", "config_file", type=Path, required=True, help="A configuration file, or the name of a built-in one."
)
@options.settings
@click.option("--out", type=Path, help="Run folder [default: runs/<config name>-pretrain-<n>].")
@options.device
@options.train_precision
def pretrain_command(
    config_file: Path, overrides: tuple[str, ...], out: Path | None, device: str | None, precision: str | None
) -> None:
    """Train the network of a configuration as a classifier, on the objects of its data set or on a folder of folders.

    Each object is a crop, jittered a little (model.crop); train.batch_size counts crops. weights.pth in the run folder
    is for model.backbone.weights. Resume an interrupted run with: detect train --resume RUN_DIR.
    """
    tune_malloc()
    settings = (*overrides, *NETWORK, *CLASSIFIER)
    config = options.load_data_settings(config_file, options.with_flags(settings, device, precision))
    if out is not None:
        require_writable_folder(out)
    from detect.training.run import train
    from detect.training.run_folder import RunFolder

    outcome = train(config, out or RunFolder.next_free(f"{config_file.stem}-pretrain"), Console())
    exit_if_unreadable(outcome.unreadable, logged=True)
