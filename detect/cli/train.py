"""The command ``detect train``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_folder, require_writable_folder

FINE_TUNING = Path("finetune")  # the built-in configuration


@click.command("train", epilog="Example: detect train --data my_folder --out runs/mine")
@click.option("--config", "config_file", type=Path, help="A configuration file, or the name of a built-in one.")
@click.option(
    "--data",
    type=Path,
    metavar="ROOT",
    help="Fine-tune on a folder of labelled images: short for --config finetune --set data.root=ROOT.",
)
@options.settings
@click.option("--out", type=Path, help="Run folder [default: runs/<config name>-<n>].")
@click.option("--resume", "resumed", type=Path, metavar="RUN_DIR", help="Resume an interrupted run.")
@click.option("--strict", is_flag=True, help="Fail if any box is dropped or clipped, or any image skipped.")
@click.option("--replay", type=Path, metavar="FILE", help="Re-run a saved training step to find where NaNs appear.")
@options.device
@options.train_precision
def train_command(
    config_file: Path | None,
    data: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resumed: Path | None,
    strict: bool,
    replay: Path | None,
    device: str | None,
    precision: str | None,
) -> None:
    """Train a detector by a configuration, or resume an interrupted run.

    For several processes: torchrun --standalone --nproc-per-node N -m detect train ... splits each batch among them.
    With --max-restarts R, torchrun starts all again where one is lost: they resume the run from its last checkpoint.
    """
    exclusive = {"--config": config_file, "--data": data, "--resume": resumed, "--replay": replay}
    modes = [name for name, path in exclusive.items() if path is not None]
    if len(modes) != 1:
        listed = " and ".join(modes) or "none"
        raise UserError(
            f"expected one of --config FILE, --data ROOT, --resume RUN_DIR and --replay FILE, found {listed}"
        )
    if data is not None:
        root = json.dumps(str(require_folder(data, "a folder of labelled images")), ensure_ascii=False)
        config_file, overrides = FINE_TUNING, (f"data.root={root}", *overrides)
    if config_file is None and (overrides or out or strict or device or precision):
        raise UserError(f"{modes[0]}: expected no other option together with it: a run resumes with its own settings")
    tune_malloc()
    if config_file is not None:  # before the seconds that torch takes to load
        config = options.load_data_settings(config_file, options.with_flags(overrides, device, precision))
        if out is not None:
            require_writable_folder(out)
    from detect.system.distributed import init_process_group
    from detect.training.restart import find_run_of_launch
    from detect.training.run import device_of_run, replay_step, resume, train
    from detect.training.run_folder import RunFolder

    if replay is not None:
        replay_step(replay)
        return
    if config_file is not None:
        used_device = config.device
    else:
        assert resumed is not None
        used_device = device_of_run(resumed)
    with init_process_group(used_device) as group:
        if config_file is not None:
            resumed = find_run_of_launch(config, out, config_file.stem, group)
        if resumed is not None:
            outcome = resume(resumed, group=group)
        else:
            assert config_file is not None
            outcome = train(config, out or RunFolder.next_free(config_file.stem), None, strict, group)
    exit_if_unreadable(outcome.unreadable if group.is_main else (), logged=True)
