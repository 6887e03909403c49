"""The end of a recipe of several stages: one detector from what they left, validated and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.detector import empty_detector, preprocess_rule
from detect.data.loading.loader import evaluation_loader
from detect.data.loading.workers import told_when_a_worker_ends
from detect.evaluation.score import Score, evaluate
from detect.evaluation.score_tables import score_table
from detect.inference.dataset_pass import Pass, detections_only, run_over
from detect.system.progress import display
from detect.training.context import Outcome, Work
from detect.training.sample_images import draw_found
from detect.training.setup import validation_of
from detect.training.tensorboard import Events


def finish(work: Work, weights: Mapping[str, Tensor], step: int, unreadable: Sequence[str]) -> Outcome:
    """best.pt and last.pt with these weights of the configured detector, and its score where the settings validate."""
    checkpoint = Checkpoint(work.config, work.train.classes, preprocess_rule(work.config), dict(weights), step, {})
    save_checkpoint(checkpoint, work.folder.best)  # before the validation, which may take long
    score = None
    if work.config.train.validate_every is not None:
        score, passed = _validated(work, checkpoint)
        unreadable = [*unreadable, *passed.unreadable]
        checkpoint = replace(checkpoint, metrics=dict(score.numbers))
        save_checkpoint(checkpoint, work.folder.best)
        work.folder.forget_after(step - 1)
        shown = {name: score.numbers[name] for name in validation_of(work).names}
        row = {"step": step, **{f"val_{name}": value for name, value in shown.items()}}
        work.folder.add_metrics(row)
        if work.config.train.tensorboard:
            with Events(work.folder.path, 0) as events:
                events.add(row)
        draw_found(passed, work.val, work.folder.path / "validation.jpg")
        work.console.print(score_table(score))
    save_checkpoint(checkpoint, work.folder.last)
    work.say(f"weights: {work.folder.best}")
    return Outcome(work.folder.path, score, tuple(dict.fromkeys(unreadable)))


def _validated(work: Work, checkpoint: Checkpoint) -> tuple[Score, Pass]:
    detector = empty_detector(work.config, checkpoint.classes)
    detector.load_state_dict(checkpoint.weights)
    looking = detections_only(detector.to(work.compute.device))
    rule = validation_of(work)
    batches = evaluation_loader(work.val, rule.preprocess, rule.batch_size, rule.workers, work.given)
    with (
        told_when_a_worker_ends("data.workers", batches),
        display(work.console, "detecting", len(work.val), "images") as shown,
    ):
        passed = run_over(looking, batches, work.val, work.compute, shown.advance)
    return evaluate(work.val, passed.predictions, rule.metric), passed
