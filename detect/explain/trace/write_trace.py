"""Writes the trace of images: trace.json, figures and a page for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detect.data.image_names import relative_to_shared_folder
from detect.data.images import read_image
from detect.draw import save_image
from detect.errors import UnreadableImage
from detect.explain.trace.describe import describe_detections
from detect.explain.trace.ground_truth import ImageGroundTruth, match_detections
from detect.explain.trace.record import to_record
from detect.explain.trace.slices import describe_slices
from detect.explain.trace.trace import trace
from detect.explain.trace.trace_images import chain_figure, search_figure
from detect.explain.trace.trace_page import DetectionEntry, TracePage, render_trace_page
from detect.explain.views import require_one_view
from detect.inference.dataset_pass import as_prediction
from detect.inference.predictor import Predictor
from detect.models.slices import Slicing
from detect.ops.slices import Window
from detect.proposals.lookups import ProposalsFromFiles
from detect.proposals.selective_search.history import BoxHistory, box_histories
from detect.system.cpu import available_cores
from detect.system.files import write_text
from detect.system.progress import ProgressDisplay
from detect.system.randomness import hash_key


@dataclass(frozen=True)
class TraceOptions:
    """Figures are drawn for at most ``max_detections`` detections of at least ``score``; trace.json holds all."""

    score: float
    max_detections: int


def trace_images(
    predictor: Predictor,
    images: Sequence[Path],
    out: Path,
    options: TraceOptions,
    ground_truth: ImageGroundTruth,
    proposals: ProposalsFromFiles | None,
    progress: ProgressDisplay,
) -> tuple[str, ...]:
    """Write a folder below ``out`` for each image, and return a line for each unreadable image.

    An image that is detected in slices has a folder in it for each slice whose detections are drawn, and slices.json,
    which tells the slice of each detection and how those of all slices were merged.

    Raises UserError for a model with test-time augmentation.
    """
    require_one_view(predictor)
    unreadable = []
    for image, name in zip(images, relative_to_shared_folder([str(image) for image in images]), strict=True):
        try:
            rgb = read_image(image)
        except UnreadableImage as error:
            unreadable.append(str(error))
        else:
            if predictor.slicing is None:
                _trace_image(predictor, image, rgb, out / name, options, ground_truth, proposals)
            else:
                _trace_slices(predictor, predictor.slicing, image, rgb, out / name, options, ground_truth)
        progress.advance(1)
    return tuple(unreadable)


def _trace_slices(
    predictor: Predictor,
    slicing: Slicing,
    image: Path,
    rgb: np.ndarray,
    folder: Path,
    options: TraceOptions,
    ground_truth: ImageGroundTruth,
) -> None:
    """Write how the slices of an image were merged, and the trace of each slice that a drawn detection came from."""
    size = (rgb.shape[0], rgb.shape[1])
    merged = predictor.detect_views(slicing, rgb, hash_key("predict"), batch_size=1)  # as ``trace`` runs them
    content = describe_slices(merged, slicing, size)
    objects = ground_truth.objects.get(image.resolve())
    if objects is not None:
        prediction = as_prediction(replace(merged.merged, masks=None), size, size, str(image))
        matches = match_detections(objects, prediction, predictor.classes, ground_truth.metric)
        for record, truth in zip(content["detections"], matches, strict=True):
            record["truth"] = truth
    header = {"version": 1, "file": str(image), "image_size": list(size), "model": str(predictor.file)}
    write_text(folder / "slices.json", json.dumps(header | content) + "\n")
    drawn = [record for record in content["detections"] if record["score"] >= options.score][: options.max_detections]
    unmatched = ImageGroundTruth({}, ground_truth.metric)  # the objects are in pixels of the whole image
    for index in sorted({record["slice"] for record in drawn}):
        x1, y1, x2, y2 = window = slicing.views(size)[index]
        view = np.ascontiguousarray(rgb[y1:y2, x1:x2])
        _trace_image(predictor, image, view, folder / f"slice-{index:04}", options, unmatched, None, window)


def _trace_image(
    predictor: Predictor,
    image: Path,
    rgb: np.ndarray,
    folder: Path,
    options: TraceOptions,
    ground_truth: ImageGroundTruth,
    proposals: ProposalsFromFiles | None,
    window: Window | None = None,
) -> None:
    """Write the trace of an image, or of its slice ``window``, of which ``rgb`` then are the pixels."""
    image_proposals = None if proposals is None else proposals[str(image)]
    images = predictor.preprocess_image(rgb, image_proposals).to(predictor.compute.device)
    with torch.inference_mode(), predictor.compute.autocast():
        (traced,) = trace(predictor.base_detector, images)
        records = describe_detections(traced, predictor.base_detector)
    size = (rgb.shape[0], rgb.shape[1])
    prediction = as_prediction(traced.detections, images.sizes[0], size, str(image))
    objects = ground_truth.objects.get(image.resolve())
    matches = [] if objects is None else match_detections(objects, prediction, predictor.classes, ground_truth.metric)
    for i, record in enumerate(records):
        record["box_in_image"] = (prediction.boxes[i] + np.array((window or (0, 0))[:2] * 2)).tolist()
        if matches:
            record["truth"] = matches[i]
    drawn = [record for record in records if record["score"] >= options.score][: options.max_detections]
    histories = (
        _search_history(predictor, rgb, drawn) if proposals is None and predictor.proposal_search is not None else {}
    )
    scale = np.array([size[1] / traced.size[1], size[0] / traced.size[0]] * 2)
    entries = [_detection_entry(rgb, record, scale, histories) for record in drawn]
    for entry in entries:
        _save_figures(folder, entry)
        if entry.search is not None:
            entry.record["search"] = entry.search
    header = {"file": str(image), "image_size": list(size), "model": str(predictor.file)}
    header |= {} if window is None else {"slice": list(window)}
    content = header | to_record(traced, predictor.base_detector) | {"detections": records}
    write_text(folder / "trace.json", json.dumps(content) + "\n")
    facts = (
        ("model", str(predictor.file)),
        ("image" if window is None else f"slice {' '.join(map(str, window))}", f"{size[1]} x {size[0]}"),
        ("in the network", f"{traced.size[1]} x {traced.size[0]}"),
        ("proposals", str(len(traced.proposals))),
        ("detections", str(len(records))),
        ("ground truth", "not known" if objects is None else f"{len(objects.labels)} objects"),
    )
    page = TracePage(image.name, facts, predictor.classes, entries, len(records) - len(entries))
    write_text(folder / "index.html", render_trace_page(page))


def _search_history(predictor: Predictor, rgb: np.ndarray, records: Sequence[dict[str, Any]]) -> dict[int, BoxHistory]:
    """Return the histories of the proposals of some detections, by their rank in the search from 1."""
    assert predictor.proposal_search is not None
    settings = predictor.proposal_search.settings
    ranks = sorted({record["proposal"]["given_rank"] - 1 for record in records})
    histories = box_histories(rgb, settings, available_cores(), ranks)
    return {history.rank + 1: history for history in histories}


def _detection_entry(
    rgb: np.ndarray, record: dict[str, Any], scale: np.ndarray, histories: Mapping[int, BoxHistory]
) -> DetectionEntry:
    figure = chain_figure(rgb, record, scale)
    history = histories.get(record["proposal"]["given_rank"] or 0)
    if history is None:
        return DetectionEntry(record, figure)
    return DetectionEntry(record, figure, search_figure(rgb, history), _search_record(history))


def _search_record(history: BoxHistory) -> dict[str, Any]:
    """Return the history of a searched box as plain numbers, with the keys of trace.json."""
    similarity = history.strategy.similarity
    measures = [] if similarity is None else [name for name, used in asdict(similarity).items() if used]
    origin = f"merged by {' + '.join(measures)}" if measures else "an initial segment"
    height, width = history.segmentation.labels.shape
    return {
        "strategy": f"{history.strategy.space}, k = {history.strategy.scale}, {origin}",
        "searched_at": [height, width],
        "regions": len(history.segmentation.sizes),
        "region": history.region,
        "segments": list(history.segments),
        "joins": [
            {"made": merge.region, "parts": merge.children, "likeness": merge.similarity, "box": merge.box}
            for merge in history.merges
        ],
    }


def _save_figures(folder: Path, entry: DetectionEntry) -> None:
    stem = f"detection-{entry.record['rank']:03}"
    save_image(folder / f"{stem}.jpg", entry.figure)
    if entry.search_figure is not None:
        save_image(folder / f"{stem}-search.jpg", entry.search_figure)
