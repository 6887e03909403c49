"""detect train."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from detect.cli import options
from detect.errors import UserError
from detect.system.cpu import keep_freed_memory
from detect.system.files import place_for_folder


@click.command("train", epilog="Example: detect train --config configs/faster_rcnn.yaml --set train.epochs=2")
@click.option("--config", "config_file", type=Path, help="A configuration file, or the name of a shipped one.")
@options.settings
@click.option("--out", type=Path, help="The run's folder [default: runs/<config name>-<n>].")
@click.option("--resume", "resumed", type=Path, metavar="RUN_DIR", help="Go on with a run that was cut off.")
@click.option("--strict", is_flag=True, help="Refuse data of which a box is dropped or clipped, or an image skipped.")
@click.option("--replay", type=Path, metavar="FILE", help="Do a step again that a run kept for its NaNs.")
@options.device
@options.precision
def command(
    config_file: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resumed: Path | None,
    strict: bool,
    replay: Path | None,
    device: str | None,
    precision: str | None,
) -> None:
    """Train a detector by a configuration, or go on with a run that was cut off.

    Several processes: torchrun --nproc-per-node N -m detect train ... shares each batch among them.
    """
    named = {"--config": config_file, "--resume": resumed, "--replay": replay}
    found = [name for name, path in named.items() if path is not None]
    if len(found) != 1:
        told = " and ".join(found) or "none"
        raise UserError(f"expected one of --config FILE, --resume RUN_DIR and --replay FILE, found {told}")
    if config_file is None and (overrides or out or strict or device or precision):
        raise UserError(f"{found[0]}: a run goes on as it began, expected no other option beside it")
    keep_freed_memory()
    from detect.config.files import load_config

    if config_file is not None:  # before the seconds that torch takes to load
        config = load_config(config_file, options.with_flags(overrides, device, precision))
        if out is not None:
            place_for_folder(out)
    from detect.system.distributed import joined
    from detect.training.run import replay_step, resume, train
    from detect.training.run_folder import RunFolder

    if replay is not None:
        replay_step(replay)
        return
    with joined() as group:
        if resumed is not None:
            outcome = resume(resumed, group=group)
        else:
            assert config_file is not None
            outcome = train(config, out or RunFolder.numbered(config_file.stem), None, strict, group)
    tell_unreadable(outcome.unreadable if group.leads else ())


def tell_unreadable(lines: Sequence[str]) -> None:
    """Say how many images there were and exit with status 1, if there are any."""
    if lines:
        print(f"detect: {len(lines)} images could not be read (see log.txt)", file=sys.stderr)
        sys.exit(1)
