"""Images in, traces out: trace.json, pictures and a page for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detect.data.annotations import ImageAnnotation
from detect.data.image_names import relative_to_shared_folder
from detect.data.images import UnreadableImage, read_image
from detect.draw import save_image
from detect.errors import UserError
from detect.evaluation.score import Metric
from detect.explain.trace.describe import describe_detections
from detect.explain.trace.ground_truth import match_detections
from detect.explain.trace.record import to_record
from detect.explain.trace.trace import trace
from detect.explain.trace.trace_images import chain_figure, search_figure
from detect.explain.trace.trace_page import TracePage, DetectionEntry, render_trace_page
from detect.inference.dataset_pass import as_prediction
from detect.inference.predictor import Predictor
from detect.models.tta import DetectorWithTTA
from detect.proposals.lookups import ProposalsFromFile
from detect.proposals.selective_search.history import BoxHistory as SearchStory
from detect.proposals.selective_search.history import box_histories as search_stories
from detect.system.cpu import available_cores
from detect.system.files import write_text
from detect.system.progress import ProgressDisplay


@dataclass(frozen=True)
class TraceOptions:
    """Pictures and a place on the page for at most ``most`` detections of at least ``score``; all are in trace.json."""

    score: float
    max_detections: int


@dataclass(frozen=True)
class ImageGroundTruth:
    """objects: of each image whose ground truth is known, by its resolved path; metric: whose rules match them."""

    objects: Mapping[Path, ImageAnnotation]
    metric: Metric


def trace_images(
    predictor: Predictor,
    images: Sequence[Path],
    out: Path,
    wish: TraceOptions,
    known: ImageGroundTruth,
    given: ProposalsFromFile | None,
    shown: ProgressDisplay,
) -> tuple[str, ...]:
    """A folder below ``out`` for each image; returns a line for each unreadable image.

    Raises UserError for a model that looks at an image several times.
    """
    if isinstance(predictor.detector, DetectorWithTTA):
        raise UserError(
            "model.test_time: expected one look at each image, whose detections have one trace, found several; "
            "--set model.test_time.flip=false --set model.test_time.scales=[1]"
        )
    unreadable = []
    for image, name in zip(images, relative_to_shared_folder([str(image) for image in images]), strict=True):
        try:
            rgb = read_image(image)
        except UnreadableImage as error:
            unreadable.append(str(error))
        else:
            _trace_image(predictor, image, rgb, out / name, wish, known, given)
        shown.advance(1)
    return tuple(unreadable)


def _trace_image(
    predictor: Predictor,
    image: Path,
    rgb: np.ndarray,
    folder: Path,
    wish: TraceOptions,
    known: ImageGroundTruth,
    given: ProposalsFromFile | None,
) -> None:
    images = predictor.preprocess_image(rgb, None if given is None else given[str(image)]).to(predictor.compute.device)
    with torch.inference_mode(), predictor.compute.autocast():
        (traced,) = trace(predictor.base_detector, images)
        told = describe_detections(traced, predictor.base_detector)
    size = (rgb.shape[0], rgb.shape[1])
    prediction = as_prediction(traced.detections, images.sizes[0], size, str(image))
    objects = known.objects.get(image.resolve())
    truths = [] if objects is None else match_detections(objects, prediction, predictor.classes, known.metric)
    for place, story in enumerate(told):
        story["box_in_image"] = prediction.boxes[place].tolist()
        if truths:
            story["truth"] = truths[place]
    chosen = [story for story in told if story["score"] >= wish.score][: wish.max_detections]
    searched = _search_history(predictor, rgb, chosen) if given is None and predictor.proposal_search is not None else {}
    scale = np.array([size[1] / traced.size[1], size[0] / traced.size[0]] * 2)
    shown = [_detection_entry(rgb, story, scale, searched) for story in chosen]
    for one in shown:
        _save_figures(folder, one)
        if one.search is not None:
            one.record["search"] = one.search
    whole = {"file": str(image), "image_size": list(size), "model": str(predictor.file)}
    content = whole | to_record(traced, predictor.base_detector) | {"detections": told}
    write_text(folder / "trace.json", json.dumps(content) + "\n")
    facts = (
        ("model", str(predictor.file)),
        ("image", f"{size[1]} x {size[0]}"),
        ("in the network", f"{traced.size[1]} x {traced.size[0]}"),
        ("proposals", str(len(traced.proposals))),
        ("detections", str(len(told))),
        ("ground truth", "not known" if objects is None else f"{len(objects.labels)} objects"),
    )
    page = TracePage(image.name, facts, predictor.classes, shown, len(told) - len(shown))
    write_text(folder / "index.html", render_trace_page(page))


def _search_history(predictor: Predictor, rgb: np.ndarray, chosen: Sequence[dict[str, Any]]) -> dict[int, SearchStory]:
    """How the proposals of some detections were found, by their rank in the search from 1."""
    assert predictor.proposal_search is not None
    rule = predictor.proposal_search.settings
    ranks = sorted({story["proposal"]["given_rank"] - 1 for story in chosen})
    found = search_stories(rgb, rule.mode, rule.seed, available_cores(), rule.min_side, rule.resize_to, ranks)
    return {story.rank + 1: story for story in found}


def _detection_entry(rgb: np.ndarray, told: dict[str, Any], scale: np.ndarray, searched: Mapping[int, SearchStory]) -> DetectionEntry:
    picture = chain_figure(rgb, told, scale)
    story = searched.get(told["proposal"]["given_rank"] or 0)
    return DetectionEntry(told, picture) if story is None else DetectionEntry(told, picture, search_figure(rgb, story), _search_record(story))


def _search_record(story: SearchStory) -> dict[str, Any]:
    similarity = story.strategy.similarity
    measures = [] if similarity is None else [name for name, used in asdict(similarity).items() if used]
    joined = f"joined by {' + '.join(measures)}" if measures else "a first segment itself"
    height, width = story.segmentation.labels.shape
    return {
        "strategy": f"{story.strategy.space}, k = {story.strategy.scale}, {joined}",
        "searched_at": [height, width],
        "regions": len(story.segmentation.sizes),
        "region": story.region,
        "segments": list(story.segments),
        "joins": [asdict(join) for join in story.merges],
    }


def _save_figures(folder: Path, shown: DetectionEntry) -> None:
    name = f"detection-{shown.record['rank']:03}"
    save_image(folder / f"{name}.jpg", shown.figure)
    if shown.search_figure is not None:
        save_image(folder / f"{name}-search.jpg", shown.search_figure)
