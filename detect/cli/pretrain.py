"""detect pretrain."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from detect.cli import options
from detect.cli.train import tell_unreadable
from detect.system.cpu import keep_freed_memory
from detect.system.files import place_for_folder

# R-CNN's network on crops, as a classifier; normalisation learns, for nothing is known that could be frozen.
NETWORK = ("model.backbone.norm=batch", "model.backbone.output=map", "model.backbone.frozen_stages=0")
CLASSIFIER = (
    "model.kind=rcnn",
    "model.classifier=softmax",
    "model.head.tail=network",
    "model.head.sampling=uniform",
    "train.recipe=classify",
)


@click.command(
    "pretrain", epilog="Example: detect pretrain --config voc07/fast_rcnn_caffenet --set data.root=VOCdevkit/VOC2007"
)
@click.option("--config", "config_file", type=Path, required=True, help="A configuration file or a shipped one.")
@options.settings
@click.option("--out", type=Path, help="The run's folder [default: runs/<config name>-pretrain-<n>].")
@options.device
@options.precision
def command(
    config_file: Path, overrides: tuple[str, ...], out: Path | None, device: str | None, precision: str | None
) -> None:
    """Train the network of a configuration as a classifier, on the objects of its data set or on a folder of folders.

    Each object is a crop, moved and stretched a little (model.crop.side); train.batch_size counts crops. weights.pth in
    the run's folder is for model.backbone.weights. A run that was cut off: detect train --resume RUN_DIR.
    """
    keep_freed_memory()
    from detect.config.files import load_config

    settings = (*overrides, *NETWORK, *CLASSIFIER)
    config = load_config(config_file, options.with_flags(settings, device, precision))
    if out is not None:
        place_for_folder(out)
    from detect.training.run import train
    from detect.training.run_folder import RunFolder

    outcome = train(config, out or RunFolder.numbered(f"{config_file.stem}-pretrain"), Console())
    tell_unreadable(outcome.unreadable)
