"""The command ``detect describe``."""

from __future__ import annotations

from pathlib import Path

import click

from detect.cli import options
from detect.cli.describe_align import align
from detect.cli.describe_eval import evaluate
from detect.cli.describe_photos import caption, search
from detect.cli.group import Group
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_folder


@click.group("describe", cls=Group, epilog="Example: detect describe train --config describe_shapes")
def describe_command() -> None:
    """Align sentences with the regions of photos, search photos by words, and describe regions."""


for _command in (align, search, caption, evaluate):
    describe_command.add_command(_command)


@describe_command.command(
    "train",
    short_help="Train a model of words and regions on a detector.",
    epilog="Example: detect describe train --config describe_shapes --set detector=runs/faster_rcnn-1",
)
@click.option("--config", "config_file", type=Path, help="A configuration file, or the name of a built-in one.")
@options.settings
@click.option("--out", type=Path, help="Run folder [default: runs/<config name>-<n>].")
@click.option("--resume", "resumed", type=Path, metavar="RUN_DIR", help="Resume an interrupted run.")
@options.device
def train(
    config_file: Path | None, overrides: tuple[str, ...], out: Path | None, resumed: Path | None, device: str | None
) -> None:
    """Train a model of words and regions by a configuration, or resume an interrupted run.

    Four stages, each with a file in the run folder: features of the regions that the detector finds, alignment of words
    with regions, segments of sentences, and the generator of sentences. The detector stays as it is.
    """
    if (config_file is None) == (resumed is None):
        given = "none" if config_file is None else "both"
        raise UserError(f"expected one of --config FILE and --resume RUN_DIR, found {given}")
    if resumed is not None and (overrides or out or device):
        raise UserError("--resume: expected no other option together with it: a run resumes with its own settings")
    tune_malloc()
    from detect.config.describe_files import load_describe_config

    if config_file is not None:  # before the seconds that torch takes to load
        config = load_describe_config(config_file, options.with_flags(overrides, device, None))
        if out is not None:
            require_writable_folder(out)
    from detect.describe.recipe import resume_describe, train_describe
    from detect.training.run_folder import RunFolder

    if resumed is not None:
        resume_describe(resumed)
        return
    assert config_file is not None
    train_describe(config, out or RunFolder.next_free(config_file.stem))
