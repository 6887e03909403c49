"""detect train."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from detect.cli import options
from detect.errors import UserError
from detect.files import place_for_folder
from detect.memory import keep_freed_memory


@click.command("train", epilog="Example: detect train --config configs/faster_rcnn.yaml --set train.epochs=2")
@click.option("--config", "config_file", type=Path, help="A configuration file, or the name of a shipped one.")
@options.settings
@click.option("--out", type=Path, help="The run's folder [default: runs/<config name>-<n>].")
@click.option("--resume", "resumed", type=Path, metavar="RUN_DIR", help="Go on with a run that was cut off.")
@click.option("--strict", is_flag=True, help="Refuse data of which a box is dropped or clipped, or a photo skipped.")
@options.device
@options.precision
def command(
    config_file: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resumed: Path | None,
    strict: bool,
    device: str | None,
    precision: str | None,
) -> None:
    """Train a detector by a configuration, or go on with a run that was cut off."""
    if (config_file is None) == (resumed is None):
        found = "neither" if config_file is None else "both"
        raise UserError(f"expected either --config FILE or --resume RUN_DIR, found {found}")
    keep_freed_memory()
    from detect.config_files import load_config

    if config_file is not None:  # before the seconds that torch takes to load
        config = load_config(config_file, options.with_flags(overrides, device, precision))
        if out is not None:
            place_for_folder(out)
    from detect.training.run import resume, train
    from detect.training.run_folder import RunFolder

    if resumed is not None:
        if overrides or out or strict or device or precision:
            raise UserError("--resume: a run goes on as it began, expected no other option beside it")
        outcome = resume(resumed, Console())
    else:
        assert config_file is not None
        outcome = train(config, out or RunFolder.numbered(config_file.stem), Console(), strict)
    tell_unreadable(outcome.unreadable)


def tell_unreadable(lines: Sequence[str]) -> None:
    """Say how many photos there were and exit with status 1, if there are any."""
    if lines:
        print(f"detect: {len(lines)} photos could not be read (see log.txt)", file=sys.stderr)
        sys.exit(1)
