"""The trainer: train a network by its losses in a run folder, with logs, validation and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.data import build_augment
from detect.config.builders.detector import build_preprocess, composition_note
from detect.data.loading.batch_sampler import DistributedBatchSampler
from detect.data.loading.collate import Batch
from detect.data.loading.loader import training_loader
from detect.data.loading.workers import explain_worker_death
from detect.errors import RunError
from detect.evaluation.score_tables import score_table
from detect.system.progress import show_progress
from detect.training.context import RunContext, TrainingResult
from detect.training.curves import draw_curves
from detect.training.header import describe_run
from detect.training.initial_model import InitialModel
from detect.training.log import RunLogger
from detect.training.loggers.registry import open_loggers
from detect.training.loop import Callbacks, Interrupted, step_seed, train_loop
from detect.training.replay import find_bad_images
from detect.training.sample_images import draw_batch, draw_validation
from detect.training.saved_step import SavedStep, write_step
from detect.training.setup import build_schedule, loop_config
from detect.training.start_state import build_start_state
from detect.training.state import TrainState
from detect.training.sync_norm import require_sync_norm_works
from detect.training.task import TrainingTask, default_task
from detect.training.validation import ValidationResult

DRAWN_STEPS = 2  # the first training batches that are drawn with their boxes


def train_model(
    context: RunContext, initial: InitialModel | None = None, task: TrainingTask | None = None
) -> TrainingResult:
    """Train in ``context.folder``, from its last.pt if there is one, to the end of the settings.

    initial: the initial detector of the settings, if it is built already; task: the training task, None for that of the
    settings. Raises UserError, NonFiniteStep, Interrupted.
    """
    state, lines = build_start_state(context, initial)
    task = task or default_task(context)
    device, num_images = context.compute.device.type, len(context.train)
    require_sync_norm_works(state.detector, context.group, device, num_images, task.batch_size)
    context.folder.truncate_after(state.progress.step)
    trainer = Trainer(context, state, task)
    note = composition_note(context.config.model)
    for line in (*lines, *([] if note is None else [note])):
        trainer.logger.log(line)
    return trainer.fit()


class Trainer:
    """Trains one network: builds the loop's inputs, and provides its callbacks."""

    def __init__(self, context: RunContext, state: TrainState, task: TrainingTask) -> None:
        config, train = context.config, context.config.train
        batches = task.batches_per_epoch(len(context.train))
        self.context, self.config, self.folder, self.state, self.task = context, config, context.folder, state, task
        self.is_main = context.group.is_main
        self.preprocess = build_preprocess(config)
        self.loop_config = loop_config(config, batches)
        self.logger = RunLogger(
            folder=context.folder,
            console=context.console,
            steps=self.loop_config.steps,
            steps_per_epoch=batches / train.accumulate,
            validation_metrics=task.validator.metric_names,
            unreadable=context.unreadable,
        )
        self.last_validation: ValidationResult | None = None
        self.validated_step = -1

    def fit(self) -> TrainingResult:
        """Train to the end of the settings; draw the curves and log the score."""
        data, val = self.context.train, self.context.val
        dropped = list(dict.fromkeys([*data.dropped, *val.dropped]))  # the two parts of a split report the same boxes
        self.logger.log_header(describe_run(self.context, self.task, self.loop_config, self.state.detector), dropped)
        console, steps_done = self.logger.console, self.state.progress.step
        batches = self._training_batches()
        try:
            with (
                open_loggers(self.context, steps_done) as loggers,
                explain_worker_death("data.workers", batches),
                show_progress(console, "training", self.loop_config.steps, "steps") as progress,
            ):
                self.logger.attach_progress(progress, steps_done)
                self.logger.loggers = loggers
                schedule = build_schedule(self.config, self.loop_config.steps)
                compute, group = self.context.compute, self.context.group
                if self.state.progress.is_exhausted(self.config.train.patience):
                    self.logger.log(f"nothing to resume: train.patience stopped the run after step {steps_done}")
                else:
                    train_loop(self.state, iter(batches), schedule, self.loop_config, compute, self._callbacks(), group)
                if self.is_main and self.folder.metrics.exists():
                    draw_curves(self.folder.metrics, self.folder.path / "curves.png")
                    loggers.picture(self.state.progress.step, self.folder.path / "curves.png")
        except Interrupted:
            raise
        except RunError as error:
            with suppress(RunError):  # on a full disk the log fails too
                self.folder.log(str(error))
            raise
        finally:
            self.logger.progress = self.logger.loggers = None
        if not self.loop_config.validate_at:
            self._save_best()
        score = None if self.last_validation is None else self.last_validation.score
        if score is not None:
            console.print(score_table(score))
        self.logger.log_number_of_other_sizes()
        self.logger.log(f"weights: {self.folder.best} (best), {self.folder.last} (last)")
        return TrainingResult(folder=self.folder.path, score=score, unreadable=tuple(self.logger.unreadable))

    def _training_batches(self) -> DataLoader[Batch]:
        context, config = self.context, self.config
        steps, start = (
            count * self.loop_config.accumulate for count in (self.loop_config.steps, self.state.progress.step)
        )
        sampler = DistributedBatchSampler(self.task.make_sampler(steps, start), context.group.rank, context.group.size)
        augment = build_augment(config)
        workers = config.data.workers
        return training_loader(
            context.train,
            self.preprocess,
            augment,
            sampler,
            config.seed,
            workers,
            context.proposals,
            pin_memory=context.compute.is_asynchronous,
        )

    def _callbacks(self) -> Callbacks:
        return Callbacks(
            log=self.logger.log_training,
            validate=self._validate,
            save=self._save,
            on_batch=self._draw_batch,
            on_unreadable=self.logger.log_unreadable,
            on_other_sizes=self.logger.log_other_sizes,
            on_non_finite=self._save_bad_step,
        )

    def _validate(self) -> bool:
        """Validate and save the best weights; return whether the patience of the settings is exhausted."""
        progress = self.state.progress
        self.last_validation, self.validated_step = self.task.validator.run(self.state.eval_model), progress.step
        self.logger.log_unreadable(self.last_validation.predictions.unreadable)
        self.logger.log_other_sizes(self.last_validation.predictions.other_sizes)
        value = self.last_validation.primary
        is_best = value is not None and (progress.best is None or value > progress.best)
        progress.validations_without_gain = 0 if is_best else progress.validations_without_gain + 1
        if is_best or progress.best is None:
            progress.best = value
            self._save_best()
        self.logger.log_validation(progress.step, self.last_validation.loss, self.last_validation.metrics, is_best)
        if self.is_main and self.last_validation.score is not None:
            file = self.folder.path / "validation.jpg"
            draw_validation(self.last_validation.predictions, self.context.val, file)
            self._log_picture(progress.step, file)
        stops = progress.is_exhausted(self.config.train.patience)
        if stops:
            waited = progress.validations_without_gain
            self.logger.log(f"stopped: {waited} validations without a better {self.last_validation.primary_name}")
        return stops

    def _save(self) -> None:
        self.state.progress.gather_sums(self.context.group)
        if self.is_main:
            save_checkpoint(self._checkpoint(with_training=True), self.folder.last)

    def _save_best(self) -> None:
        if self.is_main:
            save_checkpoint(self._checkpoint(with_training=False), self.folder.best)

    def _checkpoint(self, with_training: bool) -> Checkpoint:
        return Checkpoint(
            config=self.config,
            classes=self.context.train.classes,
            preprocess=self.preprocess,
            weights=self.state.eval_model.state_dict(),
            step=self.state.progress.step,
            metrics=self._metrics_of_weights(),
            training=self.state.state_dict() if with_training else None,
            adversary=self._adversary_weights(),
        )

    def _metrics_of_weights(self) -> dict[str, float | None]:
        """Return the metrics of the weights as they are; none where they were trained on since the last validation."""
        if self.last_validation is None or self.validated_step != self.state.progress.step:
            return {}
        return dict(self.last_validation.metrics)

    def _adversary_weights(self) -> dict[str, Tensor] | None:
        return None if self.state.adversary is None else self.state.adversary.state_dict()

    def _save_bad_step(self, batches: Sequence[Batch]) -> str:
        """Save a step that is not finite with the weights before it; return the bad images and how to replay it."""
        detector, step = self.state.detector, self.state.progress.step
        group = self.context.group
        file = self.folder.path / (f"step-{step + 1}.pt" if group.size == 1 else f"step-{step + 1}-{group.rank}.pt")
        weights, seed = detector.state_dict(), step_seed(self.loop_config.seed, step) + group.rank
        saved = SavedStep(
            config=self.config,
            classes=self.context.train.classes,
            step=step,
            seed=seed,
            weights=weights,
            batches=tuple(batches),
            adversary=self._adversary_weights(),
        )
        write_step(file, saved)
        bn_statistics = self.state.bn_statistics()
        bad_images = group.gather(
            find_bad_images(
                detector, batches, self.context.compute, self.state.adversary, step * self.loop_config.accumulate
            )
        )
        images = [image for of_process in bad_images for image in of_process]
        images = images or [image for batch in batches for image in batch.files]
        self.state.rollback(bn_statistics)
        return f"images: {', '.join(images)}; to find the stage: detect train --replay {file}"

    def _draw_batch(self, step: int, batch: Batch) -> None:
        if self.is_main and step < DRAWN_STEPS and len(batch.images):
            file = self.folder.path / f"batch-{step + 1}.jpg"
            draw_batch(batch, self.preprocess, self.context.train.classes, file)
            self._log_picture(step + 1, file)

    def _log_picture(self, step: int, file: Path) -> None:
        if self.logger.loggers is not None:
            self.logger.loggers.picture(step, file)
