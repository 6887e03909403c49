"""A whole run in its folder: begun, or gone on with."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from detect.config import Config
from detect.config.builders.data import read_splits, training_data
from detect.config.builders.resolve import settled
from detect.config.files import load_config
from detect.data.loading.workers import WorkerEnded
from detect.data.usage import require_flawless
from detect.errors import UserError
from detect.system.device import make_compute
from detect.system.distributed import ALONE, Group
from detect.system.files import existing_folder, remove_leftovers
from detect.training.context import Outcome, Work
from detect.training.initial_model import Start, starting_detector
from detect.training.load_proposals import given_proposals
from detect.training.loop import Interrupted, NonFiniteStep
from detect.training.recipes.registry import RECIPES
from detect.training.replay import read_step, replay
from detect.training.run_folder import RunFolder, SilentFolder
from detect.training.tensorboard import require_tensorboard


def train(
    config: Config, out: Path, console: Console | None = None, strict: bool = False, group: Group = ALONE
) -> Outcome:
    """Train from the start into a new folder. Raises UserError, NonFiniteStep, Interrupted.

    strict: UserError before any work where a box is dropped or repaired, or an image skipped.
    """
    if config.train.tensorboard:
        require_tensorboard()
    config = settled(config)
    _require_divisible(config, group)
    splits = group.leader_first(lambda: read_splits(config))
    if strict:
        require_flawless(splits.account, config.data.root)
    compute = make_compute(config.device, config.train.precision)
    start = group.leader_first(lambda: starting_detector(config, splits.train.classes))
    # The folder comes after all that may be wrong: it leaves nothing behind.
    made = RunFolder.create(out, config, sys.argv).path if group.leads else out
    folder = _seen(group.gather(made)[0], group)
    work = Work(config, folder, splits.train, splits.val, None, compute, _heard(console, group), (), group)
    for line in (*splits.notes, str(splits.account)):
        work.say(line)
    return _carried_out(work, start)


def resume(out: Path, console: Console | None = None, group: Group = ALONE) -> Outcome:
    """Go on in a run's folder to the end that its settings name, also with another number of processes."""
    folder = _seen(existing_folder(out, "a run folder"), group)
    if not folder.config_file.is_file():
        raise UserError(f"{out}: expected a run folder with config.yaml, found none")
    if folder.whole is not None:
        raise UserError(f"{out}: expected a whole run, found a stage of {folder.whole} (--resume {folder.whole})")
    if group.leads:
        remove_leftovers(out)
    config = load_config(folder.config_file)
    if config.train.tensorboard:
        require_tensorboard()
    compute = make_compute(config.device, config.train.precision)
    _require_divisible(config, group)
    train_set, val_set = group.leader_first(lambda: training_data(config))
    return _carried_out(
        Work(config, folder, train_set, val_set, None, compute, _heard(console, group), (), group), None
    )


def _require_divisible(config: Config, group: Group) -> None:
    """UserError where several processes cannot do what the settings say."""
    if group.size > 1 and config.train.recipe != "joint":
        raise UserError(f"train.recipe: expected joint with {group.size} processes, found {config.train.recipe}")


def _seen(path: Path, group: Group) -> RunFolder:
    return RunFolder(path) if group.leads else SilentFolder(path)


def _heard(console: Console | None, group: Group) -> Console:
    return (console or Console()) if group.leads else Console(quiet=True)


def replay_step(file: Path, console: Console | None = None) -> None:
    """Do a step again that was kept because its numbers were not finite, and tell of each stage.

    Raises UserError for another file, NonFiniteStep naming the first stage that is not finite again.
    """
    kept = read_step(file)
    compute = make_compute(kept.config.device, kept.config.train.precision)
    images = [image for batch in kept.batches for image in batch.files]
    shown = console or Console()
    shown.print(f"step {kept.step + 1}, images: {', '.join(images)}", highlight=False, markup=False, soft_wrap=True)
    findings = replay(kept, compute)
    for finding in findings:
        shown.print(str(finding), highlight=False, markup=False, soft_wrap=True)
    broken = [finding for finding in findings if finding.broken]
    if broken:
        raise NonFiniteStep(f"{file}: expected finite numbers, found the first that are not in: {broken[0]}")


def _carried_out(work: Work, start: Start | None) -> Outcome:
    """The recipe, once its proposals are there. What stops it says how to go on."""
    try:
        return RECIPES[work.config.train.recipe](given_proposals(work), start)
    except (Interrupted, WorkerEnded) as stopped:
        raise type(stopped)(f"{stopped}; to go on: detect train --resume {work.folder.path}") from None
    except KeyboardInterrupt:  # between two steps of the loop, which would have ended with the last one saved
        raise Interrupted(f"interrupted; to go on: detect train --resume {work.folder.path}") from None
