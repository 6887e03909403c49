"""A whole run inside its folder: data, detector, loop, validation."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from detect.build.data import augment_rule, training_data
from detect.build.model import empty_detector, preprocess_rule
from detect.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from detect.config import Config
from detect.config_files import load_config
from detect.curves import draw_curves
from detect.data.annotations import Annotations
from detect.data.batching import BatchPlan
from detect.data.loader import Batch, training_loader
from detect.data.workers import WorkerEnded, told_when_a_worker_ends
from detect.display import display
from detect.errors import UserError, WorkError
from detect.evaluation.score import Metric, Score
from detect.evaluation.table import score_table
from detect.files import existing_folder
from detect.precision import Compute, make_compute
from detect.proposing.lookups import FromFile
from detect.training.given import given_proposals
from detect.training.journal import Journal
from detect.training.loop import Callbacks, Interrupted, train_loop
from detect.training.pictures import draw_batch, draw_found
from detect.training.run_folder import RunFolder
from detect.training.setup import loop_rule, make_learner, schedule_rule
from detect.training.start import starting_detector
from detect.training.state import Learner
from detect.training.validation import Validated, Validation

SHOWN_STEPS = 2  # the first training batches that are drawn with their boxes


@dataclass(frozen=True)
class Outcome:
    """folder: the run's; score: of the last validation; unreadable: a line for each photo that could not be read."""

    folder: Path
    score: Score | None
    unreadable: tuple[str, ...]


def train(config: Config, out: Path, console: Console | None = None) -> Outcome:
    """Train from the start into a new folder. Raises UserError, NonFiniteLoss, Interrupted."""
    train_set, val_set = training_data(config)
    compute = make_compute(config.device, config.train.precision)
    detector, lines = starting_detector(config, train_set.classes)
    learner = make_learner(config, detector.to(compute.device))
    folder = RunFolder.create(out, config, sys.argv)
    console = console or Console()
    data = _Data(train_set, val_set, given_proposals(config, folder, (train_set, val_set), console))
    run = _Run(config, folder, data, learner, compute, console)
    for line in lines:
        run.journal.say(line)
    return run.go()


def resume(out: Path, console: Console | None = None) -> Outcome:
    """Go on from a run folder's last.pt to the end that its settings name."""
    folder = RunFolder(existing_folder(out, "a run folder"))
    if not folder.config_file.is_file():
        raise UserError(f"{out}: expected a run folder with config.yaml, found none")
    config = load_config(folder.config_file)
    train_set, val_set = training_data(config)
    compute = make_compute(config.device, config.train.precision)
    if folder.last.is_file():
        saved = load_checkpoint(folder.last)
        if saved.training is None or saved.classes != train_set.classes:
            raise UserError(
                f"{folder.last}: expected classes {', '.join(train_set.classes)} as in the data, "
                f"found {', '.join(saved.classes)}"
            )
        learner = make_learner(config, empty_detector(config, saved.classes).to(compute.device))
        learner.restore(saved.weights, saved.step, saved.training)
    else:  # cut off before the first checkpoint
        learner = make_learner(config, starting_detector(config, train_set.classes)[0].to(compute.device))
    folder.forget_after(learner.progress.step)
    console = console or Console()
    data = _Data(train_set, val_set, given_proposals(config, folder, (train_set, val_set), console))
    return _Run(config, folder, data, learner, compute, console).go()


@dataclass(frozen=True)
class _Data:
    """given: the proposals of both, for a detector that does not make its own."""

    train: Annotations
    val: Annotations
    given: FromFile | None


class _Run:
    """The loop's callbacks and what they share."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        data: _Data,
        learner: Learner,
        compute: Compute,
        console: Console,
    ) -> None:
        train = config.train
        batches = math.ceil(len(data.train) / train.batch_size)
        self.config, self.folder, self.learner, self.compute = config, folder, learner, compute
        self.data = data
        self.preprocess = preprocess_rule(config)
        self.rule = loop_rule(config, batches)
        metric: Metric = "voc07" if config.data.format == "voc" else "coco"
        self.validation = Validation(
            data.val, self.preprocess, metric, train.batch_size, config.data.workers, compute, data.given
        )
        self.journal = Journal(folder, console, self.rule.steps, batches / train.accumulate, self.validation.names)
        self.last: Validated | None = None

    def go(self) -> Outcome:
        """Train to the end."""
        self._introduce()
        console, first = self.journal.console, self.learner.progress.step
        try:
            with (
                told_when_a_worker_ends("data.workers"),
                display(console, "training", self.rule.steps, "steps") as shown,
            ):
                self.journal.watch(shown, first)
                schedule = schedule_rule(self.config, self.rule.steps)
                train_loop(self.learner, self._batches(), schedule, self.rule, self.compute, self._callbacks())
        except Interrupted as stopped:
            raise Interrupted(f"{stopped}; to go on: detect train --resume {self.folder.path}") from None
        except WorkerEnded as failed:
            self.folder.log(str(failed))
            raise WorkerEnded(f"{failed}; to go on: detect train --resume {self.folder.path}") from None
        except WorkError as failed:
            self.folder.log(str(failed))
            raise
        finally:
            self.journal.display = None
        if self.folder.metrics.exists():
            draw_curves(self.folder.metrics, self.folder.path / "curves.png")
        if self.last is not None:
            console.print(score_table(self.last.score))
        self.journal.say(f"weights: {self.folder.best} (best), {self.folder.last} (last)")
        score = None if self.last is None else self.last.score
        return Outcome(self.folder.path, score, tuple(self.journal.unreadable))

    def _introduce(self) -> None:
        data, train, val = self.data.train, self.config.train, self.data.val
        self.journal.introduce(
            [
                f"{len(data)} photos with {len(data.boxes)} objects to train on, {len(val)} with {len(val.boxes)} to "
                f"validate; {len(data.classes)} classes: {', '.join(data.classes)}",
                f"{self.rule.steps} steps of {train.batch_size * train.accumulate} photos on "
                f"{self.compute.device.type} in {train.precision}, into {self.folder.path}",
            ],
            [*data.dropped, *val.dropped],
        )

    def _batches(self) -> Iterator[Batch]:
        config, rule = self.config, self.rule
        plan = BatchPlan(
            self.data.train.sizes,
            config.train.batch_size,
            config.seed,
            config.data.min_sizes,
            steps=rule.steps * rule.accumulate,
            start=self.learner.progress.step * rule.accumulate,
        )
        augment, workers = augment_rule(config), config.data.workers
        return iter(
            training_loader(self.data.train, self.preprocess, augment, plan, config.seed, workers, self.data.given)
        )

    def _callbacks(self) -> Callbacks:
        return Callbacks(
            self.journal.training, self._validate, self._save, self._show_batch, self.journal.note_unreadable
        )

    def _validate(self) -> bool:
        """Validate, keep the best; whether patience is at its end."""
        progress = self.learner.progress
        self.last = self.validation.run(self.learner.evaluated)
        self.journal.note_unreadable(self.last.passed.unreadable)
        value = self.last.score.primary
        better = value is not None and (progress.best is None or value > progress.best)
        progress.waited = 0 if better else progress.waited + 1
        if better or progress.best is None:
            progress.best = value
            save_checkpoint(self._checkpoint(with_training=False), self.folder.best)
        self.journal.validated(progress.step, self.last.loss, self.last.numbers, better)
        draw_found(self.last.passed, self.data.val, self.folder.path / "validation.jpg")
        patience = self.config.train.patience
        if patience is not None and progress.waited >= patience:
            self.journal.say(f"stopped: {patience} validations without a better {self.last.score.primary_name}")
            return True
        return False

    def _save(self) -> None:
        save_checkpoint(self._checkpoint(with_training=True), self.folder.last)

    def _checkpoint(self, with_training: bool) -> Checkpoint:
        return Checkpoint(
            config=self.config,
            classes=self.data.train.classes,
            preprocess=self.preprocess,
            weights=self.learner.evaluated.state_dict(),
            step=self.learner.progress.step,
            metrics={} if self.last is None else dict(self.last.numbers),
            training=self.learner.state() if with_training else None,
        )

    def _show_batch(self, step: int, batch: Batch) -> None:
        if step < SHOWN_STEPS and len(batch.images):
            draw_batch(batch, self.preprocess, self.data.train.classes, self.folder.path / f"batch-{step + 1}.jpg")
