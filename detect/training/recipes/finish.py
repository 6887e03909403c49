"""The end of a recipe of several stages: validate the assembled detector and save it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.detector import build_preprocess, build_uninitialized
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import explain_worker_death
from detect.evaluation.score import Score, evaluate
from detect.evaluation.score_tables import score_table
from detect.inference.dataset_pass import DatasetPredictions, detections_only, run_on_dataset
from detect.system.numbers import format_count
from detect.system.progress import show_progress
from detect.training.context import RunContext, TrainingResult
from detect.training.loggers.registry import finite_cells, open_loggers
from detect.training.sample_images import draw_validation
from detect.training.setup import build_validator


def finish(
    context: RunContext,
    weights: Mapping[str, Tensor],
    step: int,
    unreadable: Sequence[str],
    adversary: Mapping[str, Tensor] | None = None,
) -> TrainingResult:
    """Save the detector with these weights as best.pt and last.pt; validate it if the settings ask for that.

    adversary: the weights of that which it was trained against, None for none.
    """
    checkpoint = Checkpoint(
        config=context.config,
        classes=context.train.classes,
        preprocess=build_preprocess(context.config),
        weights=dict(weights),
        step=step,
        metrics={},
        adversary=None if adversary is None else dict(adversary),
    )
    save_checkpoint(checkpoint, context.folder.best)  # before the validation, which may take long
    score = None
    if context.config.train.validate_every is not None:
        score, predictions = _validate(context, checkpoint)
        unreadable = [*unreadable, *predictions.unreadable]
        sizes = list(dict.fromkeys(predictions.other_sizes))
        if sizes:
            count = format_count(len(sizes), "image")
            context.log(f"{count} to validate of another size than labelled, the first {sizes[0]}")
        checkpoint = replace(checkpoint, metrics=dict(score.metrics))
        save_checkpoint(checkpoint, context.folder.best)
        context.folder.truncate_after(step - 1)
        metrics = {name: score.metrics[name] for name in build_validator(context).metric_names}
        row = {"step": step, **{f"val_{name}": value for name, value in metrics.items()}}
        context.folder.add_metrics(row)
        draw_validation(predictions, context.val, context.folder.path / "validation.jpg")
        with open_loggers(context, 0) as loggers:
            loggers.scalars(*finite_cells(row))
            loggers.picture(step, context.folder.path / "validation.jpg")
        context.console.print(score_table(score))
    save_checkpoint(checkpoint, context.folder.last)
    context.log(f"weights: {context.folder.best}")
    return TrainingResult(folder=context.folder.path, score=score, unreadable=tuple(dict.fromkeys(unreadable)))


def _validate(context: RunContext, checkpoint: Checkpoint) -> tuple[Score, DatasetPredictions]:
    detector = build_uninitialized(context.config, checkpoint.classes)
    detector.load_state_dict(checkpoint.weights)
    predict_step = detections_only(detector.to(context.compute.device))
    validator = build_validator(context)
    batches = evaluation_loader(
        context.val,
        validator.preprocess,
        validator.batch_size,
        validator.workers,
        context.proposals,
        pin_memory=context.compute.is_asynchronous,
    )
    with (
        explain_worker_death("data.workers", batches),
        show_progress(context.console, "detecting", len(context.val), "images") as progress,
    ):
        predictions = run_on_dataset(predict_step, batches, context.val, context.compute, progress.advance)
    return evaluate(context.val, predictions.predictions, validator.metric), predictions
