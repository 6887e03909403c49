"""Measures whether explanations lie on their objects and are faithful: each method compared with two baselines and
with pytorch-grad-cam.

A filled box and the center of the box do not use the network. The center of a box that matches its object lies in the
object's box, so that a peak inside the box proves nothing: objects are therefore given by masks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from detect.bench.explaining_cases import ExplanationCase, box_center, flat_box, make_cases
from detect.bench.explaining_intervals import Values
from detect.bench.explaining_protocols import in_boxes, similarity_scores
from detect.bench.explaining_records import ExplanationRecords, ExplanationSettings, PhotoScores
from detect.bench.explaining_scores import SEEDS, correlations, score_map, seed_stds
from detect.bench.explaining_tables import CORRELATION, FLAT_BOX, RANDOM_IN_PROPOSAL, RANDOM_WEIGHTS, SECONDS, SEED_STD
from detect.bench.explaining_targets import saliency_cost
from detect.bench.gradcam_peer import PREFIX, peer_methods
from detect.bench.masked_images import MaskedFile
from detect.bench.randomized_detector import randomize, randomized_cases, rank_correlation
from detect.bench.timing import wait_for_gpu
from detect.data.images import read_image
from detect.errors import first_line
from detect.explain.attribution.heatmaps import reduce_channels, to_image_pixels
from detect.explain.attribution.methods import METHODS, Explain
from detect.explain.attribution.options import MethodOptions
from detect.inference.predictor import Predictor
from detect.models.detector import Detector
from detect.ops.preprocess import rescale_boxes
from detect.system.progress import ProgressDisplay
from detect.types import Images, Size

RANDOM = ("smoothgrad", "drise")  # methods with random draws


def measure_explanations(
    predictor: Predictor,
    files: Sequence[MaskedFile],
    settings: ExplanationSettings,
    records: ExplanationRecords,
    progress: ProgressDisplay,
) -> list[PhotoScores]:
    """Return the scores of the photos in order, over all detections that match an object with a mask.

    Photos that are in the records are not measured again; each other one is added to them.
    """
    measured: list[PhotoScores] = []
    random = randomize(predictor.base_detector)
    for file in files:
        if file.name not in records.photos:
            num_explained = sum(scores.num_detections > 0 for scores in measured)
            compared = random if num_explained < settings.num_randomized else None
            records.add(_measure_file(predictor, file, settings, compared))
        measured.append(records.photos[file.name])
        num_detections = sum(scores.num_detections for scores in measured)
        progress.advance(1, f"{num_detections} detections")
        if settings.min_detections is not None and num_detections >= settings.min_detections:
            break
    return measured


def variant_methods(settings: ExplanationSettings) -> dict[str, Explain]:
    """Return our methods of the settings, the baselines, and the peers."""
    methods: dict[str, Explain] = {name: METHODS[name].explain for name in settings.names}
    return methods | {FLAT_BOX: flat_box, "center of the box": box_center} | peer_methods(settings.peers)


@dataclass(frozen=True)
class _Photo:
    """A photo to measure.

    images: a batch of it alone; sizes: (h, w) of the image in canvas pixels, and of the image file; random_cases: the
    cases with random weights, empty where maps are compared neither with theirs nor with those of other seeds.
    """

    predictor: Predictor
    images: Images
    sizes: tuple[Size, Size]
    cases: Sequence[ExplanationCase]
    random_cases: Sequence[ExplanationCase]


def _measure_file(
    predictor: Predictor, file: MaskedFile, settings: ExplanationSettings, random: Detector | None
) -> PhotoScores:
    """Return the scores of one photo. A method of pytorch-grad-cam that raises has none, but the reason."""
    rgb = read_image(file.image)
    images = predictor.preprocess_image(rgb).to(predictor.compute.device)
    masked = file.read()
    num_unknown = sum(name not in predictor.classes for name in masked.names)
    cases = make_cases(predictor, masked, images, settings.score)
    if not cases:
        return PhotoScores(file.name, 0, num_unknown=num_unknown)
    random_cases = [] if random is None else randomized_cases(predictor, random, cases, images)
    photo = _Photo(predictor, images, (images.sizes[0], (rgb.shape[0], rgb.shape[1])), cases, random_cases)
    values, failures = {}, {}
    for name, explain in variant_methods(settings).items():
        try:
            values[name] = _measure_method(photo, explain, settings, name in RANDOM)
        except Exception as error:  # of a program of somebody else, which was not made for detectors
            if not name.startswith(PREFIX):
                raise
            failures[name] = f"{type(error).__name__}: {first_line(error)}"
    cost = saliency_cost(cases[0].target)
    return PhotoScores(file.name, len(cases), values, failures, cost, num_unknown)


def _measure_method(
    photo: _Photo, explain: Explain, settings: ExplanationSettings, random: bool
) -> Mapping[str, Values]:
    """Return the scores of a method on the cases of a photo, by column. ValueError for a map that is not finite."""
    cases, options = photo.cases, settings.options
    wait_for_gpu()
    start = time.perf_counter()
    heatmaps = _explain(cases, explain, options)
    wait_for_gpu()  # maps of ours may still be computed, those of pytorch-grad-cam are copied to the CPU
    seconds = (time.perf_counter() - start) / len(cases)
    if not all(bool(heatmap.isfinite().all()) for heatmap in heatmaps):
        raise ValueError("a map is not finite")
    image_maps = _to_image_pixels(cases, heatmaps, photo.sizes)
    scores = [score_map(*triple) for triple in zip(cases, heatmaps, image_maps, strict=True)]
    if settings.similarity:
        for case_scores, case, heatmap in zip(scores, cases, heatmaps, strict=True):
            case_scores |= similarity_scores(photo.predictor, case, photo.images, heatmap)
    by_column: dict[str, Values] = {column: tuple(each[column] for each in scores) for column in scores[0]}
    by_column |= {CORRELATION: tuple(correlations(cases, image_maps)), SECONDS: (seconds,) * len(cases)}
    if photo.random_cases and random:
        other_seeds = [
            _to_image_pixels(cases, _explain(cases, explain, replace(options, seed=seed)), photo.sizes)
            for seed in range(1, SEEDS)
        ]
        by_column[SEED_STD] = tuple(seed_stds(cases, [image_maps, *other_seeds]))
    if photo.random_cases:
        random_maps = _to_image_pixels(cases, _explain(photo.random_cases, explain, options), photo.sizes)
        pairs = list(zip(image_maps, random_maps, strict=True))
        inside = [_in_proposal(case, photo.sizes) for case in cases]
        by_column[RANDOM_WEIGHTS] = tuple(rank_correlation(*pair) for pair in pairs)
        by_column[RANDOM_IN_PROPOSAL] = tuple(
            rank_correlation(first[pixels], second[pixels])
            for (first, second), pixels in zip(pairs, inside, strict=True)
        )
    return by_column


def _explain(cases: Sequence[ExplanationCase], explain: Explain, options: MethodOptions) -> list[Tensor]:
    """Return one map (1, h, w) for each case; the detections of a target are explained together."""
    by_target: dict[int, Tensor] = {}
    heatmaps = []
    for case in cases:
        if id(case.target) not in by_target:
            by_target[id(case.target)] = explain(case.target, options).detach()
        heatmaps.append(reduce_channels(by_target[id(case.target)][case.index], "max"))
    return heatmaps


def _in_proposal(case: ExplanationCase, sizes: tuple[Size, Size]) -> np.ndarray:
    """Return which pixels of the image the proposal of a case touches, as (H, W) bool."""
    proposal = case.target.detections[case.index].proposal
    return in_boxes(rescale_boxes(proposal[None].cpu().double(), *sizes).numpy(), sizes[1])


def _to_image_pixels(
    cases: Sequence[ExplanationCase], heatmaps: Sequence[Tensor], sizes: tuple[Size, Size]
) -> list[np.ndarray]:
    return [to_image_pixels(heatmap, case.target, *sizes) for heatmap, case in zip(heatmaps, cases, strict=True)]
