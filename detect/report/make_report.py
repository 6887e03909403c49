"""Build the report of a run: the work of ``detect report``."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from detect.config import Config, Device, ModelConfig, Precision, SourceConfig
from detect.config.builders.data import default_metric, read_split_for_model
from detect.config.files import load_config, to_yaml
from detect.data.images import read_image
from detect.draw import encode_jpeg
from detect.errors import UnreadableImage, UserError
from detect.evaluation.proposal_recall import scores_from_ious
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.report.cache import cached_detections, cached_proposal_ious, proposal_images
from detect.report.embedded_images import ImageStore
from detect.report.error_gallery import make_gallery
from detect.report.examples import apply_thresholds
from detect.report.report_page import ProposalResults, ReportPage, render
from detect.report.results import EvaluationResults, compute_results
from detect.report.run_facts import RunFacts, read_run
from detect.system.files import require_folder, write_text
from detect.system.progress import show_progress
from detect.training.run_folder import RunFolder
from detect.version import __version__

IMAGE_BYTES = 9_000_000  # of the page for images in base64; the tables of 80 classes and 300 overlays take at most 3 MB
_BATCH_SIDE = 1000  # pixels of the longer side of the images of training batches


@dataclass(frozen=True)
class ReportOptions:
    """The options of the command line for the model and its data."""

    overrides: Sequence[str] = ()
    device: Device = "auto"
    precision: Precision = "fp32"


@dataclass(frozen=True)
class ReportSummary:
    """A summary of the page: size in bytes, results (None without a model), a line for each unreadable image.

    other_sizes: a line for each image that is not of the size in its labels.
    """

    size: int
    results: EvaluationResults | None
    unreadable: tuple[str, ...]
    other_sizes: tuple[str, ...]


def open_run(path: Path) -> RunFolder:
    """Return the run folder; raises UserError where the path is not one."""
    folder = RunFolder(require_folder(path, "a run folder"))
    if not folder.config_file.is_file():
        raise UserError(f"{path}: expected a run folder with config.yaml, found none")
    return folder


def make_model_report(model: Path, out: Path, options: ReportOptions, console: Console) -> ReportSummary:
    """Write the page of a detector without a run folder: its settings and all that is measured on validation data.

    model: a checkpoint, a packaged file or a name. Slow parts are cached in the folder ``report`` beside the page.
    Raises UserError before any work.
    """
    predictor = load(model, options.device, options.precision, options.overrides)
    facts = RunFacts(
        path=predictor.file.absolute(),
        settings=to_yaml(predictor.config),
        environment=(),
        log=(),
        num_more_lines=0,
        curves={},
        batches=(),
    )
    return _write_page(_page(facts, out.absolute().parent, predictor, console), out)


def make_report(folder: RunFolder, out: Path, options: ReportOptions, console: Console) -> ReportSummary:
    """Write the page; slow parts are cached in the folder (see cache.py). Raises UserError before any work."""
    facts = read_run(folder)
    config = load_config(folder.config_file)
    missing_reason = _missing_reason(folder, config)
    page = (
        _page_without_model(facts, config, missing_reason)
        if missing_reason
        else _page(facts, folder.path, load(folder.path, options.device, options.precision, options.overrides), console)
    )
    return _write_page(page, out)


def _write_page(page: ReportPage, out: Path) -> ReportSummary:
    content = render(page)
    write_text(out, content)
    return ReportSummary(len(content.encode()), page.results, tuple(page.unreadable), tuple(page.other_sizes))


def _missing_reason(folder: RunFolder, config: Config) -> str:
    """Return why the run has no detector, "" if it has one."""
    if config.train.recipe == "pretrain":
        return "This run trained a classifier of crops: there is no detector."
    if not (folder.best.is_file() or folder.last.is_file()):
        return "This run has saved no weights yet."
    return ""


def _page_without_model(facts: RunFacts, config: Config, missing_reason: str) -> ReportPage:
    """Return the page of a run that has no detector."""
    return ReportPage(
        title=facts.path.name,
        summary=_summary(config),
        facts=facts,
        results=None,
        missing_reason=missing_reason,
        proposals=None,
        gallery=None,
        unreadable=(),
        batches=_batches(facts),
        generated_by=_version_and_time(),
    )


def _page(facts: RunFacts, path: Path, predictor: Predictor, console: Console) -> ReportPage:
    """Return the page of a detector with its results on the validation data, which are cached below ``path``."""
    config = predictor.config
    annotations, notes = read_split_for_model(config, "val", predictor.classes)
    for note in notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    measured = proposal_images(annotations)
    results, gallery, missing_reason = None, None, ""
    unreadable, other_sizes = tuple[str, ...](), tuple[str, ...]()
    if config.train.trains_head:
        with show_progress(console, "detecting", len(annotations), "images") as progress:
            detections = cached_detections(predictor, annotations, path, progress)
        results = compute_results(annotations, detections.predictions, default_metric(config))
        unreadable, other_sizes = detections.unreadable, detections.other_sizes
        at_best_f1 = apply_thresholds(results.errors, results.thresholds)
        gallery = make_gallery(annotations, at_best_f1, detections.predictions, ImageStore(IMAGE_BYTES))
    else:
        missing_reason = "This run trained proposals alone: its head is not trained."
    with show_progress(console, "proposing", len(measured), "images") as progress:
        best = cached_proposal_ious(predictor, measured, path, progress)
    proposals = ProposalResults(best, scores_from_ious(best, measured.classes), len(measured), len(annotations))
    return ReportPage(
        title=facts.path.name,
        summary=(
            *_summary(config),
            ("classes", str(len(predictor.classes))),
            ("weights", predictor.file.name),
            *(("labels", note) for note in notes),
        ),
        facts=facts,
        results=results,
        missing_reason=missing_reason,
        proposals=proposals,
        gallery=gallery,
        unreadable=unreadable,
        batches=_batches(facts),
        generated_by=_version_and_time(),
        other_sizes=other_sizes,
    )


def _summary(config: Config) -> tuple[tuple[str, str], ...]:
    """Return the main settings of a run as rows of a name and a value."""
    model, data, train = config.model, config.data, config.train
    length = f"{train.epochs:g} epochs" if train.epochs is not None else f"{train.steps:g} steps"
    if train.rpn_steps is not None:
        length += f" ({train.rpn_steps:g} of an RPN)"
    return (
        ("detector", f"{model.kind}, {model.proposal_source} proposals, {model.pool}, {model.classifier}"),
        ("backbone", _describe_backbone(model)),
        ("training", f"{train.recipe}, {length}, batches of {train.batch_size}, {train.optimizer} at {train.lr:g}"),
        ("data", f"{data.format}, {data.root}"),
        ("validation", _format_split(data.val)),
    )


def _describe_backbone(model: ModelConfig) -> str:
    """Return the network and the initial weights that the settings name.

    Those of a packaged or an imported file name none, and their weights were not random.
    """
    parts = (model.backbone.name, _initial_weights(model.backbone.weights), _initial_weights(model.init))
    return ", ".join(part for part in parts if part is not None)


def _initial_weights(source: str | None) -> str | None:
    return None if source is None else f"initial weights {source}"


def _format_split(split: str | float | tuple[SourceConfig, ...]) -> str:
    """Return the source of the validation images in words."""
    if isinstance(split, str):
        return split
    return f"{split:g} of the training images" if isinstance(split, float) else f"{len(split)} sources"


def _batches(facts: RunFacts) -> tuple[str, ...]:
    """Return data URIs of the first training batches that can be read."""
    data_uris = []
    for file in facts.batches[:2]:
        try:
            jpeg = encode_jpeg(read_image(file), _BATCH_SIDE)
        except UnreadableImage:
            continue
        data_uris.append("data:image/jpeg;base64," + base64.b64encode(jpeg).decode())
    return tuple(data_uris)


def _version_and_time() -> str:
    return f"detect {__version__}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
