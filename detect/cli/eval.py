"""The command ``detect eval``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.options import Device, Metric, Precision, Split
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_file, write_text

if TYPE_CHECKING:
    from detect.config import Config
    from detect.data.annotations import Annotations
    from detect.evaluation.analysis.compare_runs import RunComparison
    from detect.inference.dataset_pass import DatasetPredictions
    from detect.inference.predictor import Predictor
    from detect.system.distributed import ProcessGroup


@click.command("eval", epilog="Example: detect eval runs/faster_rcnn-1 runs/faster_rcnn-2 --json score.json")
@click.argument("model", type=Path)
@click.argument("model_b", type=Path, required=False)
@click.option("--split", type=click.Choice(["train", "val"]), default="val", show_default=True)
@click.option(
    "--metric", type=click.Choice(["coco", "voc07", "voc12"]), help="[default: the metric of the data's format]"
)
@click.option(
    "--compare", is_flag=True, help="Also score MODEL by every evaluation profile, and show the effect of each rule."
)
@click.option(
    "--save", type=Path, metavar="DT.json", help="Write the detections of MODEL in the format of `detect predict`."
)
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the metrics to this file.")
@options.slice_size
@options.slice_overlap
@options.settings
@options.device
@options.precision
@click.option(
    "--precision-b",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    help="Precision of MODEL_B, which may be MODEL: what a precision changes [default: that of MODEL].",
)
def eval_command(
    model: Path,
    model_b: Path | None,
    split: Split,
    metric: Metric | None,
    compare: bool,
    save: Path | None,
    json_file: Path | None,
    slice_size: str | None,
    overlap: float | None,
    overrides: tuple[str, ...],
    device: Device | None,
    precision: Precision | None,
    precision_b: Precision | None,
) -> None:
    """Score MODEL (a run folder: its best weights; a checkpoint; or a name of `detect model zoo`) on its own data, or
    on other data by --set. Where the labels mark objects as occluded or truncated, their AP is shown too.

    torchrun --nproc-per-node N -m detect eval ... shares the images among N processes: the same numbers.

    With MODEL_B, compare the two on that data, image by image: the difference of their APs with its 95% interval (a
    paired bootstrap over the images), and the images where they differ most.
    """
    tune_malloc()
    if precision_b is not None and model_b is None:
        raise UserError("--precision-b: expected MODEL_B, whose precision it is, found MODEL alone")
    for file in (save, json_file):
        if file is not None:
            require_writable_file(file)
    from detect.config.builders.data import annotation_id_warnings, default_metric, read_split_for_model
    from detect.data.sources import remap_classes
    from detect.inference.dataset_pass import describe_other_sizes
    from detect.inference.load import load
    from detect.inference.result_writers import write_json
    from detect.system.distributed import init_process_group

    with init_process_group(device or "auto") as group:
        settings = options.with_slices(overrides, slice_size, overlap)
        models = [load(model, device or "auto", precision or "fp32", settings)]
        if model_b is not None:
            models.append(load(model_b, device or "auto", precision_b or precision or "fp32", settings))
        config = models[0].config
        annotations, notes = group.main_process_first(
            lambda: read_split_for_model(config, split, models[0].classes, overrides)
        )
        truths = [remap_classes(annotations, predictor.classes) for predictor in models]
        console = Console(quiet=not group.is_main)
        used_metric = metric or default_metric(config)
        warnings = annotation_id_warnings(config, split) if used_metric == "coco" else []
        for line in (*notes, *warnings):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        both = zip(models, truths, strict=True)
        passes = [_detect(predictor, truth, config, console, group) for predictor, truth in both]
    if not group.is_main:
        return
    content = _score(truths, passes, used_metric, compare, console)
    if precision_b is not None:
        first, second = (predictor.compute.precision for predictor in models)
        content["precisions"] = [first, second]
        console.print(f"precision: {first} of the first, {second} of the second")
    if save is not None:
        write_json(save, passes[0].predictions, models[0].classes)
    if json_file is not None:
        write_text(json_file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    sizes = describe_other_sizes(line for predictions in passes for line in predictions.other_sizes)
    if sizes:
        console.print(sizes, highlight=False, markup=False, soft_wrap=True)
    exit_if_unreadable(dict.fromkeys(line for predictions in passes for line in predictions.unreadable))


def _score(
    truths: Sequence[Annotations], passes: Sequence[DatasetPredictions], metric: Metric, compare: bool, console: Console
) -> dict[str, object]:
    """Print and return as JSON the score of the first model, its profiles if ``compare``, and the comparison of two."""
    from detect.evaluation.analysis.by_attribute import score_labeled_ranges
    from detect.evaluation.analysis.matches import METRIC_RULES, match
    from detect.evaluation.mask_columns import mask_fault
    from detect.evaluation.profiles import compare_profiles
    from detect.evaluation.score import evaluate
    from detect.evaluation.score_tables import (
        change_table,
        difference_table,
        image_table,
        profile_table,
        range_table,
        score_table,
    )

    scores = [
        evaluate(truth, predictions.predictions, metric) for truth, predictions in zip(truths, passes, strict=True)
    ]
    content = scores[0].to_dict()
    console.print(score_table(scores[0]))
    if metric == "coco" and scores[0].segm is None and any(p.masks is not None for p in passes[0].predictions):
        console.print(f"masks are not scored: {mask_fault(truths[0], passes[0].predictions)}")
    ranges = score_labeled_ranges(match(truths[0], passes[0].predictions, METRIC_RULES[metric]), truths[0])
    if ranges:
        console.print(range_table(ranges))
        content["ranges"] = {
            name: {range_: score.to_dict() for range_, score in scores_of.items()} for name, scores_of in ranges.items()
        }
    if compare:
        profiles = compare_profiles(truths[0], passes[0].predictions)
        console.print(profile_table(profiles), change_table(profiles))
        content["profiles"] = {name: profile.to_dict() for name, profile in profiles.items()}
    if len(scores) > 1:
        comparison = _compare(truths, passes, metric)
        console.print(difference_table(scores[0], scores[1], comparison), image_table(comparison))
        content |= {"second": scores[1].to_dict(), "difference": comparison.to_dict(scores[0].primary_name)}
    return content


def _detect(
    predictor: Predictor, annotations: Annotations, config: Config, console: Console, group: ProcessGroup
) -> DatasetPredictions:
    from detect.inference.evaluate_dataset import predict_dataset
    from detect.system.progress import show_progress

    with show_progress(console, "detecting", len(annotations), "images") as progress:
        return predict_dataset(predictor, annotations, config, progress, group)


def _compare(truths: Sequence[Annotations], passes: Sequence[DatasetPredictions], metric: Metric) -> RunComparison:
    """Compare two models on the same images; each model has its own classes."""
    from detect.evaluation.analysis.compare_runs import compare_runs
    from detect.evaluation.analysis.matches import METRIC_RULES, match

    both = zip(truths, passes, strict=True)
    first, second = (match(truth, predictions.predictions, METRIC_RULES[metric]) for truth, predictions in both)
    return compare_runs(first, second, [truths[0].file(image) for image in range(len(truths[0]))])
