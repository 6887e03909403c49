"""Start or resume a run in its folder, and run a saved step again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from detect.config import Config, TrainConfig
from detect.config.base import Device
from detect.config.builders.data import read_splits, training_data
from detect.config.builders.resolve import resolve
from detect.config.files import load_config
from detect.data.loading.workers import WorkerKilled
from detect.data.usage import require_clean
from detect.errors import RunError, UserError
from detect.proposals.lookups import ProposalsFromFiles
from detect.system.device import deterministic_algorithms, select_device
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup
from detect.system.files import remove_temp_files, require_folder
from detect.system.memory import memory_shortage
from detect.training.context import RunContext, TrainingResult
from detect.training.data_identity import data_identity, require_same_data
from detect.training.finetuning.choose import choose_settings
from detect.training.finetuning.expected_time import measure_time
from detect.training.initial_model import InitialModel, build_initial_detector
from detect.training.load_proposals import attach_proposals, read_proposal_files
from detect.training.loggers.logger import Logger
from detect.training.loggers.registry import require_loggers
from detect.training.loop import Interrupted, NonFiniteStep
from detect.training.precision import compute_config, resolve_precision, resolved_precision
from detect.training.recipes.registry import RECIPES
from detect.training.replay import rerun_step
from detect.training.restart import launch_identity
from detect.training.run_folder import ReadOnlyRunFolder, RunFolder
from detect.training.saved_step import read_step


def train(
    config: Config,
    out: Path,
    console: Console | None = None,
    strict: bool = False,
    group: ProcessGroup = SINGLE_PROCESS,
    loggers: Sequence[Logger] = (),
) -> TrainingResult:
    """Train from the start into a new folder. Raises UserError, NonFiniteStep, Interrupted.

    strict: raise UserError before any work if a box is dropped or clipped, or an image is skipped; loggers: those that
    follow the run beside those of ``train.loggers``.
    """
    require_loggers(config)
    unresolved, config = config, resolve(config)
    _require_divisible(config, group)
    _require_detector_trained(config)
    # The other processes log nothing, so that they need not compare the images unless an image in both is refused.
    splits = group.main_process_first(lambda: read_splits(unresolved, compare_images=strict or group.is_main))
    if strict:
        require_clean(splits.usage, config.data.root)
    compute = compute_config(config)  # refuses a device that is not there before anything else
    notes = [*splits.notes, str(splits.usage)]
    if config.train.auto:
        chosen = group.main_process_first(lambda: choose_settings(config, splits.train, splits.num_objects, compute))
        config, notes = chosen.config, [*notes, *chosen.lines]
    initial = group.main_process_first(lambda: build_initial_detector(config, splits.train.classes))
    config, lines = resolve_precision(config, initial.detector, group)
    notes.extend(lines)
    proposals = read_proposal_files(config, splits.train, splits.val)
    # The folder is created after everything that can fail, so that an error leaves nothing behind.
    if group.is_main:
        data = data_identity(splits.train, splits.val, proposals)
        RunFolder.create(out, config, sys.argv, data, launch_identity(unresolved))
    folder = _run_folder_for(group.gather(out)[0], group)
    context = RunContext(
        config=config,
        folder=folder,
        train=splits.train,
        val=splits.val,
        proposals=None,
        compute=compute_config(config),
        console=_console_for(console, group),
        group=group,
        loggers=tuple(loggers),
    )
    for line in notes:
        context.log(line)
    return _run_recipe(context, initial, proposals, announce_time=unresolved.train.auto)


def resume(out: Path, console: Console | None = None, group: ProcessGroup = SINGLE_PROCESS) -> TrainingResult:
    """Resume the run of a folder and train to the end of its settings; the number of processes may differ."""
    folder = _run_folder_for(require_folder(out, "a run folder"), group)
    if not folder.config_file.is_file():
        raise UserError(f"{out}: expected a run folder with config.yaml, found none")
    if folder.parent_run is not None:
        raise UserError(
            f"{out}: expected a whole run, found a stage of {folder.parent_run} (--resume {folder.parent_run})"
        )
    if group.is_main:
        remove_temp_files(out)
    config = load_config(folder.config_file)
    require_loggers(config)
    compute = select_device(config.device, resolved_precision(config, str(folder.config_file)))
    _require_divisible(config, group)
    try:
        train_set, val_set = group.main_process_first(lambda: training_data(config))
    except UserError as error:
        began = f"the run {out} began with other data, or with a version that allowed this, and keeps its settings"
        raise type(error)(f"{error}; {began}") from error
    proposals = read_proposal_files(config, train_set, val_set)
    sliced = config.data.slice.size is not None  # in every process, as each machine may have data of its own
    require_same_data(out, folder.data, train_set, val_set, proposals, sliced=sliced)
    context = RunContext(
        config=config,
        folder=folder,
        train=train_set,
        val=val_set,
        proposals=None,
        compute=compute,
        console=_console_for(console, group),
        group=group,
    )
    return _run_recipe(context, None, proposals)


def device_of_run(out: Path) -> Device:
    """Return the device in the settings of a run folder; auto where ``resume`` will find that it is none."""
    file = RunFolder(out).config_file
    return load_config(file).device if file.is_file() else "auto"


def _require_divisible(config: Config, group: ProcessGroup) -> None:
    """Raise UserError if several processes cannot run the recipe of the settings."""
    if group.size > 1 and config.train.recipe != "joint":
        raise UserError(f"train.recipe: expected joint with {group.size} processes, found {config.train.recipe}")


def _require_detector_trained(config: Config) -> None:
    """Raise UserError where the adversary would be trained without the detector, as in a stage of its recipe."""
    if config.train.trains_adversary_alone:
        raise UserError("train.trainable: expected parts of the detector, found adversary")


def _run_folder_for(path: Path, group: ProcessGroup) -> RunFolder:
    return RunFolder(path) if group.is_main else ReadOnlyRunFolder(path)


def _console_for(console: Console | None, group: ProcessGroup) -> Console:
    return (console or Console()) if group.is_main else Console(quiet=True)


def replay_step(file: Path, console: Console | None = None) -> None:
    """Run a saved training step again and print a line for each of its stages.

    Raises UserError for another file, NonFiniteStep that names the first stage with values that are not finite.
    """
    saved = read_step(file)
    compute = select_device(saved.config.device, resolved_precision(saved.config, str(file)))
    images = [image for batch in saved.batches for image in batch.files]
    output = console or Console()
    output.print(f"step {saved.step + 1}, images: {', '.join(images)}", highlight=False, markup=False, soft_wrap=True)
    checks = rerun_step(saved, compute)
    for check in checks:
        output.print(str(check), highlight=False, markup=False, soft_wrap=True)
    non_finite = [check for check in checks if check.num_non_finite]
    if non_finite:
        raise NonFiniteStep(f"{file}: expected finite numbers, found the first that are not in: {non_finite[0]}")


def _run_recipe(
    context: RunContext,
    initial: InitialModel | None,
    proposals: ProposalsFromFiles | None,
    *,
    announce_time: bool = False,
) -> TrainingResult:
    """Attach the proposals and run the recipe; an error that interrupts it says how to resume the run.

    proposals: what ``read_proposal_files`` returns; announce_time: measure and log the expected time first, of a
    joint training of one process.
    """
    config = context.config.train
    try:
        context = attach_proposals(context, proposals)
        if announce_time and initial is not None and config.recipe == "joint" and context.group.size == 1:
            expected = measure_time(context, initial.detector)
            context.log("expected: unknown, as the first losses are not finite" if expected is None else str(expected))
        with deterministic_algorithms(context.compute) if config.deterministic else nullcontext():
            return RECIPES[config.recipe](context, initial)
    except (Interrupted, WorkerKilled) as error:
        raise type(error)(f"{error}; resume with: detect train --resume {context.folder.path}") from None
    except KeyboardInterrupt:  # outside the loop, which saves the last step before it ends
        raise Interrupted(f"interrupted; resume with: detect train --resume {context.folder.path}") from None
    except (RuntimeError, MemoryError) as error:
        shortage = memory_shortage(error)
        if shortage is None or context.config.model.head.sampling == "global":  # whose batches are regions
            raise
        raise RunError(_describe_shortage(config, shortage)) from error


def _describe_shortage(train: TrainConfig, shortage: str) -> str:
    """Return the message where memory is short for a batch: the next smaller one, which has not been tried."""
    message = f"memory: expected enough for a batch of {train.batch_size}, found {shortage}"
    if train.batch_size == 1:
        return f"{message}; lower data.min_size and data.max_size: there is no smaller batch"
    smaller = f"--set train.batch_size={train.batch_size // 2} --set train.accumulate={2 * train.accumulate}"
    return f"{message}; half the batch takes about half of it (not tried): {smaller}"
