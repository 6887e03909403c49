"""``detect report``: from a run's folder to its page."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from detect.config import Config, Device, Precision, SourceConfig
from detect.config.builders.data import default_metric, split_data
from detect.config.files import load_config
from detect.data.images import UnreadableImage, read_image
from detect.draw import encoded
from detect.errors import UserError
from detect.evaluation.proposal_recall import scores_of
from detect.inference.predictor import Predictor, load
from detect.report.cache import kept_detections, kept_overlaps, proposal_images
from detect.report.embedded_images import ImageStore
from detect.report.error_gallery import make_gallery
from detect.report.examples import judge
from detect.report.report_page import Page, ProposalFindings, render
from detect.report.results import Findings, find
from detect.report.run_facts import RunFacts, read_run
from detect.system.files import existing_folder, write_text
from detect.system.progress import display
from detect.training.run_folder import RunFolder
from detect.version import __version__

IMAGE_BYTES = 9_000_000  # of the page, for images as text; the tables of 80 classes and 300 overlays take 3 MB at most
_BATCH_SIDE = 1000  # pixels of the longer side of the training pictures


@dataclass(frozen=True)
class Options:
    """What the command line may say of the model and its data."""

    overrides: Sequence[str] = ()
    device: Device = "auto"
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Made:
    """The page's size in bytes; its findings, None where there are none; a line for each unreadable image."""

    size: int
    findings: Findings | None
    unreadable: tuple[str, ...]


def open_run(path: Path) -> RunFolder:
    """UserError where that is no run's folder."""
    folder = RunFolder(existing_folder(path, "a run folder"))
    if not folder.config_file.is_file():
        raise UserError(f"{path}: expected a run folder with config.yaml, found none")
    return folder


def make_report(folder: RunFolder, out: Path, options: Options, console: Console) -> Made:
    """Write the page; what takes long is kept in the folder (see ``kept``). Raises UserError before any work."""
    facts = read_run(folder)
    config = load_config(folder.config_file)
    without = _without(folder, config)
    page = (
        _bare(facts, config, without)
        if without
        else _full(facts, folder, load(folder.path, options.device, options.precision, options.overrides), console)
    )
    content = render(page)
    write_text(out, content)
    return Made(len(content.encode()), page.findings, tuple(page.unreadable))


def _without(folder: RunFolder, config: Config) -> str:
    """Why there is nothing to detect with, "" where there is."""
    if config.train.recipe == "classify":
        return "This run trained a classifier of crops: it detects nothing."
    if not (folder.best.is_file() or folder.last.is_file()):
        return "This run has saved no weights yet."
    return ""


def _bare(facts: RunFacts, config: Config, without: str) -> Page:
    return Page(facts.path.name, _summary(config), facts, None, without, None, None, (), _batches(facts), _made())


def _full(facts: RunFacts, folder: RunFolder, predictor: Predictor, console: Console) -> Page:
    config, path = predictor.config, folder.path
    annotations = split_data(config, "val", predictor.classes)
    measured = proposal_images(annotations)
    findings, gallery, without = None, None, ""
    unreadable: tuple[str, ...] = ()
    if "head" in config.train.parts:
        with display(console, "detecting", len(annotations), "images") as shown:
            passed = kept_detections(predictor, annotations, path, shown)
        findings, unreadable = find(annotations, passed.predictions, default_metric(config)), passed.unreadable
        gallery = make_gallery(annotations, judge(findings.errors, findings.thresholds), ImageStore(IMAGE_BYTES))
    else:
        without = "This run trained proposals alone: its head detects nothing."
    with display(console, "proposing", len(measured), "images") as shown:
        best = kept_overlaps(predictor, measured, path, shown)
    proposals = ProposalFindings(best, scores_of(best, measured.classes), len(measured), len(annotations))
    return Page(
        title=facts.path.name,
        summary=(*_summary(config), ("classes", str(len(predictor.classes))), ("weights", predictor.file.name)),
        facts=facts,
        findings=findings,
        without=without,
        proposals=proposals,
        gallery=gallery,
        unreadable=unreadable,
        batches=_batches(facts),
        made=_made(),
    )


def _summary(config: Config) -> tuple[tuple[str, str], ...]:
    """The settings that name a run."""
    model, data, train = config.model, config.data, config.train
    length = f"{train.epochs:g} epochs" if train.epochs is not None else f"{train.steps:g} steps"
    return (
        ("detector", f"{model.kind}, {model.proposals} proposals, {model.pool}, {model.classifier}"),
        ("backbone", f"{model.backbone.name}, initial weights {model.backbone.weights or 'random'}"),
        ("training", f"{train.recipe}, {length}, batches of {train.batch_size}, {train.optimizer} at {train.lr:g}"),
        ("data", f"{data.format}, {data.root}"),
        ("validation", _told(data.val)),
    )


def _told(split: str | float | tuple[SourceConfig, ...]) -> str:
    if isinstance(split, str):
        return split
    return f"{split:g} of the training images" if isinstance(split, float) else f"{len(split)} sources"


def _batches(facts: RunFacts) -> tuple[str, ...]:
    """Data URIs of the training pictures that can be read."""
    addresses = []
    for file in facts.batches[:2]:
        try:
            picture = encoded(read_image(file), _BATCH_SIDE)
        except UnreadableImage:
            continue
        addresses.append("data:image/jpeg;base64," + base64.b64encode(picture).decode())
    return tuple(addresses)


def _made() -> str:
    return f"detect {__version__}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
