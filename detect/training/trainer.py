"""A network trained by its losses, in a folder of its own: the loop's callbacks and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

from torch import nn
from torch.utils.data import DataLoader

from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from detect.config.builders.data import augment_rule
from detect.config.builders.detector import empty_detector, preprocess_rule
from detect.data.loading.batch_sampler import Dealt
from detect.data.loading.collate import Batch
from detect.data.loading.loader import training_loader
from detect.data.loading.workers import told_when_a_worker_ends
from detect.errors import UserError, WorkError
from detect.evaluation.score_tables import score_table
from detect.system.progress import display
from detect.training.context import Outcome, Work
from detect.training.curves import draw_curves
from detect.training.initial_model import Start, starting_detector
from detect.training.log import Journal
from detect.training.loop import Callbacks, Interrupted, step_seed, train_loop
from detect.training.replay import KeptStep, suspects, write_step
from detect.training.sample_images import draw_batch, draw_found
from detect.training.setup import loop_rule, make_learner, schedule_rule
from detect.training.state import Learner
from detect.training.task import Lesson, lesson_of
from detect.training.tensorboard import Events
from detect.training.validation import Validated

SHOWN_STEPS = 2  # the first training batches that are drawn with their boxes


def train_network(work: Work, start: Start | None = None, lesson: Lesson | None = None) -> Outcome:
    """Train in ``work.folder``, from its last.pt where there is one, to the end that the settings name.

    start: what the settings begin with, where that is made already; lesson: what is learned, None for what the settings
    say. Raises UserError, NonFiniteStep, Interrupted.
    """
    config, folder, classes = work.config, work.folder, work.train.classes
    if folder.last.is_file():
        saved = load_checkpoint(folder.last)
        if saved.training is None:
            raise UserError(
                f"{folder.last}: expected a checkpoint of a training to go on with, found weights alone (they are for "
                "model.init)"
            )
        if saved.classes != classes:
            raise UserError(
                f"{folder.last}: expected classes {', '.join(classes)} as in the data, found {', '.join(saved.classes)}"
            )
        learner = make_learner(config, empty_detector(config, saved.classes).to(work.compute.device))
        learner.restore(saved.weights, saved.step, saved.training)
        learner.progress.sums = learner.progress.sums if work.group.leads else {}
        lines: list[str] = []
    else:
        detector, lines = start or starting_detector(config, classes)
        learner = make_learner(config, detector.to(work.compute.device))
    if work.group.size > 1 and work.compute.device.type == "cpu":
        require_no_sync(learner.detector)
    folder.forget_after(learner.progress.step)
    run = _Run(work, learner, lesson or lesson_of(work))
    for line in lines:
        run.journal.say(line)
    return run.go()


def require_no_sync(detector: nn.Module) -> None:
    """UserError for batch normalisation over several processes, which torch has for GPUs alone."""
    if any(isinstance(module, nn.SyncBatchNorm) for module in detector.modules()):
        raise UserError("model.backbone.norm: expected frozen, batch or group in processes on CPUs, found sync")


class _Run:
    """The loop's callbacks and what they share."""

    def __init__(self, work: Work, learner: Learner, lesson: Lesson) -> None:
        config, train = work.config, work.config.train
        batches = lesson.batches_per_epoch(len(work.train))
        self.work, self.config, self.folder, self.learner, self.lesson = work, config, work.folder, learner, lesson
        self.leads = work.group.leads
        self.preprocess = preprocess_rule(config)
        self.rule = loop_rule(config, batches)
        self.journal = Journal(
            work.folder,
            work.console,
            self.rule.steps,
            batches / train.accumulate,
            lesson.examination.names,
            work.unreadable,
        )
        self.last: Validated | None = None

    def go(self) -> Outcome:
        """Train to the end."""
        self._introduce()
        console, first = self.journal.console, self.learner.progress.step
        batches = self._batches()
        try:
            with (
                self._events(first) as events,
                told_when_a_worker_ends("data.workers", batches),
                display(console, "training", self.rule.steps, "steps") as shown,
            ):
                self.journal.watch(shown, first)
                self.journal.events = events
                schedule = schedule_rule(self.config, self.rule.steps)
                compute, group = self.work.compute, self.work.group
                train_loop(self.learner, iter(batches), schedule, self.rule, compute, self._callbacks(), group)
        except Interrupted:
            raise
        except WorkError as failed:
            with suppress(WorkError):  # on a full disk the log fails too
                self.folder.log(str(failed))
            raise
        finally:
            self.journal.display = self.journal.events = None
        if self.leads and self.folder.metrics.exists():
            draw_curves(self.folder.metrics, self.folder.path / "curves.png")
        if not self.rule.validate_at:
            self._keep_best()
        score = None if self.last is None else self.last.score
        if score is not None:
            console.print(score_table(score))
        self.journal.say(f"weights: {self.folder.best} (best), {self.folder.last} (last)")
        return Outcome(self.folder.path, score, tuple(self.journal.unreadable))

    def _events(self, first: int) -> AbstractContextManager[Events | None]:
        return Events(self.folder.path, first) if self.config.train.tensorboard and self.leads else nullcontext()

    def _introduce(self) -> None:
        data, train, val, lesson = self.work.train, self.config.train, self.work.val, self.lesson
        batches = f"{train.accumulate} batches of " if train.accumulate > 1 else ""
        self.journal.introduce(
            [
                f"{len(data)} images with {len(data.boxes)} objects to train on, {len(val)} with {len(val.boxes)} to "
                f"validate; {len(data.classes)} classes: {', '.join(data.classes)}",
                f"{self.rule.steps} steps of {batches}{lesson.number} {lesson.unit} on {self.work.compute.device.type} "
                f"in {train.precision}, into {self.folder.path}",
                *self._shares(),
            ],
            list(dict.fromkeys([*data.dropped, *val.dropped])),  # two parts of one list report the same
        )

    def _shares(self) -> list[str]:
        """What the number of processes changes, and what not."""
        size, train = self.work.group.size, self.config.train
        if size == 1:
            return []
        return [
            f"{size} processes share each batch of {self.lesson.number} {self.lesson.unit}; the learning rate, "
            f"{train.lr:g}, is for the whole batch and not scaled"
        ]

    def _batches(self) -> DataLoader[Batch]:
        work, config = self.work, self.config
        steps, start = (count * self.rule.accumulate for count in (self.rule.steps, self.learner.progress.step))
        plan = Dealt(self.lesson.plan(steps, start), work.group.rank, work.group.size)
        augment = augment_rule(config)
        workers = config.data.workers
        return training_loader(work.train, self.preprocess, augment, plan, config.seed, workers, work.given)

    def _callbacks(self) -> Callbacks:
        return Callbacks(
            self.journal.training,
            self._validate,
            self._save,
            self._show_batch,
            self.journal.note_unreadable,
            self._keep_step,
        )

    def _validate(self) -> bool:
        """Validate, keep the best; whether patience is at its end."""
        progress = self.learner.progress
        self.last = self.lesson.examination.run(self.learner.evaluated)
        self.journal.note_unreadable(self.last.passed.unreadable)
        value = self.last.primary
        better = value is not None and (progress.best is None or value > progress.best)
        progress.waited = 0 if better else progress.waited + 1
        if better or progress.best is None:
            progress.best = value
            self._keep_best()
        self.journal.validated(progress.step, self.last.loss, self.last.numbers, better)
        if self.leads and self.last.score is not None:
            draw_found(self.last.passed, self.work.val, self.folder.path / "validation.jpg")
        patience = self.config.train.patience
        if patience is not None and progress.waited >= patience:
            self.journal.say(f"stopped: {patience} validations without a better {self.last.primary_name}")
            return True
        return False

    def _save(self) -> None:
        self.learner.progress.pool(self.work.group)
        if self.leads:
            save_checkpoint(self._checkpoint(with_training=True), self.folder.last)

    def _keep_best(self) -> None:
        if self.leads:
            save_checkpoint(self._checkpoint(with_training=False), self.folder.best)

    def _checkpoint(self, with_training: bool) -> Checkpoint:
        return Checkpoint(
            config=self.config,
            classes=self.work.train.classes,
            preprocess=self.preprocess,
            weights=self.learner.evaluated.state_dict(),
            step=self.learner.progress.step,
            metrics={} if self.last is None else dict(self.last.numbers),
            training=self.learner.state() if with_training else None,
        )

    def _keep_step(self, batches: Sequence[Batch]) -> str:
        """Keep a step that went wrong, its weights as they were before it; which images did it, and how to look on."""
        detector, step = self.learner.detector, self.learner.progress.step
        group = self.work.group
        file = self.folder.path / (f"step-{step + 1}.pt" if group.size == 1 else f"step-{step + 1}-{group.rank}.pt")
        weights, seed = detector.state_dict(), step_seed(self.rule.seed, step) + group.rank
        write_step(file, KeptStep(self.config, self.work.train.classes, step, seed, weights, tuple(batches)))
        before = self.learner.statistics()
        images = [file for own in group.gather(suspects(detector, batches, self.work.compute)) for file in own]
        images = images or [file for batch in batches for file in batch.files]
        self.learner.undo(before)
        return f"images: {', '.join(images)}; to see where they end: detect train --replay {file}"

    def _show_batch(self, step: int, batch: Batch) -> None:
        if self.leads and step < SHOWN_STEPS and len(batch.images):
            draw_batch(batch, self.preprocess, self.work.train.classes, self.folder.path / f"batch-{step + 1}.jpg")
