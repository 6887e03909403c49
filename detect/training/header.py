"""The first lines of the log of a training: its data, its steps and its processes."""

from __future__ import annotations

from detect.models.detector import Detector
from detect.training.context import RunContext
from detect.training.loop import LoopConfig
from detect.training.sync_norm import has_own_statistics
from detect.training.task import TrainingTask


def describe_run(context: RunContext, task: TrainingTask, loop_config: LoopConfig, detector: Detector) -> list[str]:
    """Return the lines on what is trained on, for how many steps, where, and by how many processes."""
    data, val, train = context.train, context.val, context.config.train
    batches = f"{train.accumulate} batches of " if train.accumulate > 1 else ""
    return [
        f"{len(data)} images with {len(data.boxes)} objects to train on, {len(val)} with {len(val.boxes)} to "
        f"validate; {len(data.classes)} classes: {', '.join(data.classes)}",
        f"{loop_config.steps} steps of {batches}{task.batch_size} {task.unit} on {context.compute.device.type} "
        f"in {train.precision}, into {context.folder.path}",
        *_describe_processes(context, task, detector),
    ]


def _describe_processes(context: RunContext, task: TrainingTask, detector: Detector) -> list[str]:
    """Return lines on how several processes share a batch; none for a single process."""
    size = context.group.size
    if size == 1:
        return []
    lines = [
        f"{size} processes share each batch of {task.batch_size} {task.unit}; the learning rate, "
        f"{context.config.train.lr:g}, is for the whole batch and not scaled"
    ]
    if has_own_statistics(detector):
        lines.append(
            "model.backbone.norm: batch: each process has the statistics of its own images, unlike one process; "
            "sync (on GPUs), group and frozen are the same in any number of them"
        )
    return lines
