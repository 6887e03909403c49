"""A network trained by its losses, in a folder of its own: the loop's callbacks and what they share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

from detect.build.data import augment_rule
from detect.build.model import empty_detector, preprocess_rule
from detect.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from detect.curves import draw_curves
from detect.data.batch import Batch
from detect.data.loader import training_loader
from detect.data.workers import told_when_a_worker_ends
from detect.display import display
from detect.errors import UserError, WorkError
from detect.evaluation.table import score_table
from detect.training.events import Events
from detect.training.journal import Journal
from detect.training.lessons import Lesson, lesson_of
from detect.training.loop import Callbacks, Interrupted, train_loop
from detect.training.pictures import draw_batch, draw_found
from detect.training.setup import loop_rule, make_learner, schedule_rule
from detect.training.start import Start, starting_detector
from detect.training.state import Learner
from detect.training.validation import Validated
from detect.training.work import Outcome, Work

SHOWN_STEPS = 2  # the first training batches that are drawn with their boxes


def train_network(work: Work, start: Start | None = None, lesson: Lesson | None = None) -> Outcome:
    """Train in ``work.folder``, from its last.pt where there is one, to the end that the settings name.

    start: what the settings begin with, where that is made already; lesson: what is learned, None for what the settings
    say. Raises UserError, NonFiniteLoss, Interrupted.
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
        lines: list[str] = []
    else:
        detector, lines = start or starting_detector(config, classes)
        learner = make_learner(config, detector.to(work.compute.device))
    folder.forget_after(learner.progress.step)
    run = _Run(work, learner, lesson or lesson_of(work))
    for line in lines:
        run.journal.say(line)
    return run.go()


class _Run:
    """The loop's callbacks and what they share."""

    def __init__(self, work: Work, learner: Learner, lesson: Lesson) -> None:
        config, train = work.config, work.config.train
        batches = lesson.batches_per_epoch(len(work.train))
        self.work, self.config, self.folder, self.learner, self.lesson = work, config, work.folder, learner, lesson
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
        try:
            with (
                Events(self.folder.path, first) if self.config.train.tensorboard else nullcontext() as events,
                told_when_a_worker_ends("data.workers"),
                display(console, "training", self.rule.steps, "steps") as shown,
            ):
                self.journal.watch(shown, first)
                self.journal.events = events
                schedule = schedule_rule(self.config, self.rule.steps)
                train_loop(self.learner, self._batches(), schedule, self.rule, self.work.compute, self._callbacks())
        except Interrupted:
            raise
        except WorkError as failed:
            self.folder.log(str(failed))
            raise
        finally:
            self.journal.display = self.journal.events = None
        if self.folder.metrics.exists():
            draw_curves(self.folder.metrics, self.folder.path / "curves.png")
        if not self.rule.validate_at:
            save_checkpoint(self._checkpoint(with_training=False), self.folder.best)
        score = None if self.last is None else self.last.score
        if score is not None:
            console.print(score_table(score))
        self.journal.say(f"weights: {self.folder.best} (best), {self.folder.last} (last)")
        return Outcome(self.folder.path, score, tuple(self.journal.unreadable))

    def _introduce(self) -> None:
        data, train, val, lesson = self.work.train, self.config.train, self.work.val, self.lesson
        batches = f"{train.accumulate} batches of " if train.accumulate > 1 else ""
        self.journal.introduce(
            [
                f"{len(data)} photos with {len(data.boxes)} objects to train on, {len(val)} with {len(val.boxes)} to "
                f"validate; {len(data.classes)} classes: {', '.join(data.classes)}",
                f"{self.rule.steps} steps of {batches}{lesson.number} {lesson.unit} on {self.work.compute.device.type} "
                f"in {train.precision}, into {self.folder.path}",
            ],
            list(dict.fromkeys([*data.dropped, *val.dropped])),  # two parts of one list report the same
        )

    def _batches(self) -> Iterator[Batch]:
        work, config = self.work, self.config
        steps, start = (count * self.rule.accumulate for count in (self.rule.steps, self.learner.progress.step))
        plan, augment = self.lesson.plan(steps, start), augment_rule(config)
        return iter(
            training_loader(work.train, self.preprocess, augment, plan, config.seed, config.data.workers, work.given)
        )

    def _callbacks(self) -> Callbacks:
        return Callbacks(
            self.journal.training, self._validate, self._save, self._show_batch, self.journal.note_unreadable
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
            save_checkpoint(self._checkpoint(with_training=False), self.folder.best)
        self.journal.validated(progress.step, self.last.loss, self.last.numbers, better)
        if self.last.score is not None:
            draw_found(self.last.passed, self.work.val, self.folder.path / "validation.jpg")
        patience = self.config.train.patience
        if patience is not None and progress.waited >= patience:
            self.journal.say(f"stopped: {patience} validations without a better {self.last.primary_name}")
            return True
        return False

    def _save(self) -> None:
        save_checkpoint(self._checkpoint(with_training=True), self.folder.last)

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

    def _show_batch(self, step: int, batch: Batch) -> None:
        if step < SHOWN_STEPS and len(batch.images):
            draw_batch(batch, self.preprocess, self.work.train.classes, self.folder.path / f"batch-{step + 1}.jpg")
