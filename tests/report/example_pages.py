"""Example pages of random data, and a parser of their HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations
from detect.draw import save_image
from detect.evaluation.predictions import Prediction
from detect.evaluation.proposal_recall import ProposalsAndObjects, best_ious, scores_from_ious
from detect.evaluation.proposal_report import PROPOSAL_COUNTS
from detect.evaluation.score import Metric
from detect.report.embedded_images import ImageStore
from detect.report.error_gallery import make_gallery
from detect.report.examples import apply_thresholds
from detect.report.report_page import ProposalResults, ReportPage
from detect.report.results import compute_results
from detect.report.run_facts import RunFacts

VOID = {"meta", "link", "img", "br", "input"}
CURVES = {"step": [1.0, 2.0], "epoch": [0.5, 1.0], "loss": [2.0, 1.0], "val_mAP": [float("nan"), 0.5]}


@dataclass
class ParsedPage(HTMLParser):
    """The tags with their attributes, and the text; ValueError for a tag that closes another."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        last = self._open.pop()
        if last != tag:
            raise ValueError(f"line {self.getpos()[0]}: expected </{last}>, found </{tag}>")

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, *names: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags for name in names if name in attrs]

    def ids(self) -> list[str]:
        return self.attributes("id")


def parse_page(html: str) -> ParsedPage:
    parser = ParsedPage()
    parser.feed(html)
    parser.close()
    assert parser._open == []
    return parser


def facts(path: Path, command: str = "detect train") -> RunFacts:
    return RunFacts(path, "seed: 0\n", (("command", command),), ("a line",), 0, {"": dict(CURVES)}, ())


def page_without_model(path: Path) -> ReportPage:
    """Return the page of a run without a detector."""
    return ReportPage(
        "run", (("detector", "rcnn"), ("backbone", "small")), facts(path), None, "none", None, None, (), (), "now"
    )


def page_with_model(
    path: Path, annotations: Annotations, predictions: Sequence[Prediction], metric: Metric, budget: int = 10**6
) -> ReportPage:
    results = compute_results(annotations, predictions, metric)
    at_thresholds = apply_thresholds(results.errors, results.thresholds)
    gallery = make_gallery(annotations, at_thresholds, predictions, ImageStore(budget))
    best = best_ious(
        (
            ProposalsAndObjects(image.boxes, image.boxes, image.labels)
            for image in map(annotations.__getitem__, range(len(annotations)))
        ),
        PROPOSAL_COUNTS,
    )
    proposals = ProposalResults(best, scores_from_ious(best, annotations.classes), len(annotations), len(annotations))
    return replace(page_without_model(path), results=results, missing_reason="", proposals=proposals, gallery=gallery)


def with_image_files(annotations: Annotations, folder: Path) -> Annotations:
    """Return the annotations with image files that can be read."""
    images = []
    for index in range(len(annotations)):
        image = annotations[index]
        file = folder / Path(image.file).name
        if not file.exists():
            save_image(file, np.full((*image.size, 3), 40 + index % 200, np.uint8))
        images.append(replace(image, file=str(file)))
    return Annotations.from_images(images, annotations.classes, annotations.category_ids.tolist())
