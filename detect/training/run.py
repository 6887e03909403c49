"""A whole run in its folder: begun, or gone on with."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from detect.build.data import read_splits, training_data
from detect.build.found import settled
from detect.config import Config
from detect.config_files import load_config
from detect.data.account import require_flawless
from detect.data.workers import WorkerEnded
from detect.errors import UserError
from detect.files import existing_folder
from detect.precision import make_compute
from detect.training.events import require_tensorboard
from detect.training.given import given_proposals
from detect.training.loop import Interrupted
from detect.training.recipes.table import RECIPES
from detect.training.run_folder import RunFolder
from detect.training.start import Start, starting_detector
from detect.training.work import Outcome, Work


def train(config: Config, out: Path, console: Console | None = None, strict: bool = False) -> Outcome:
    """Train from the start into a new folder. Raises UserError, NonFiniteLoss, Interrupted.

    strict: UserError before any work where a box is dropped or repaired, or a photo skipped.
    """
    if config.train.tensorboard:
        require_tensorboard()
    config = settled(config)
    splits = read_splits(config)
    if strict:
        require_flawless(splits.account, config.data.root)
    compute = make_compute(config.device, config.train.precision)
    start = starting_detector(config, splits.train.classes)  # before the folder: what is wrong leaves nothing behind
    folder = RunFolder.create(out, config, sys.argv)
    work = Work(config, folder, splits.train, splits.val, None, compute, console or Console())
    for line in (*splits.notes, str(splits.account)):
        work.say(line)
    return _carried_out(work, start)


def resume(out: Path, console: Console | None = None) -> Outcome:
    """Go on in a run's folder to the end that its settings name."""
    folder = RunFolder(existing_folder(out, "a run folder"))
    if not folder.config_file.is_file():
        raise UserError(f"{out}: expected a run folder with config.yaml, found none")
    if folder.whole is not None:
        raise UserError(f"{out}: expected a whole run, found a stage of {folder.whole} (--resume {folder.whole})")
    config = load_config(folder.config_file)
    if config.train.tensorboard:
        require_tensorboard()
    train_set, val_set = training_data(config)
    compute = make_compute(config.device, config.train.precision)
    return _carried_out(Work(config, folder, train_set, val_set, None, compute, console or Console()), None)


def _carried_out(work: Work, start: Start | None) -> Outcome:
    """The recipe, once its proposals are there. What stops it says how to go on."""
    try:
        return RECIPES[work.config.train.recipe](given_proposals(work), start)
    except (Interrupted, WorkerEnded) as stopped:
        raise type(stopped)(f"{stopped}; to go on: detect train --resume {work.folder.path}") from None
    except KeyboardInterrupt:  # between two steps of the loop, which would have ended with the last one saved
        raise Interrupted(f"interrupted; to go on: detect train --resume {work.folder.path}") from None
