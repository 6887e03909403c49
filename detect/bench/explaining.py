"""Measures whether explanations lie on their objects and are faithful: each method compared with two baselines and
pytorch-grad-cam.

A filled box and the center of the box do not use the network. The center of a box that matches its object lies in the
object's box, so that a peak inside the box proves nothing: objects are therefore given by masks.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import combinations

import numpy as np
from torch import Tensor

from detect.bench.explaining_cases import MATCH_IOU, ExplanationCase, MaskedImage, box_center, flat_box, make_cases
from detect.bench.explaining_targets import MethodMeans, saliency_cost, targets_met
from detect.bench.gradcam_peer import PEERS, grad_cam_installed, peer_method
from detect.bench.result_tables import BenchmarkTable
from detect.data.images import read_image
from detect.explain.attribution.faithfulness import faithfulness
from detect.explain.attribution.heatmaps import peak_and_energy, reduce_channels, to_image_pixels
from detect.explain.attribution.methods import METHODS, Explain
from detect.explain.attribution.options import MethodOptions
from detect.inference.predictor import Predictor
from detect.ops import boxes as box_ops
from detect.system.progress import ProgressDisplay
from detect.types import Size

RANDOM = ("smoothgrad", "drise")  # methods with random draws
SEEDS = 3  # of each of these methods
COLUMNS = (
    "method",
    "mask energy",
    "pointing",
    "insertion - deletion",
    "leakage",
    "correlation of disjoint boxes",
    "std of energy over seeds",
    "s per detection",
)


@dataclass(frozen=True)
class MapScores:
    """The scores of one heat map.

    energy: fraction of the values above 0 in the mask; pointing: whether the highest pixel is in the mask; leakage:
    fraction in the masks of other objects of the class, None where there are none.
    """

    energy: float
    pointing: bool
    insertion_minus_deletion: float
    leakage: float | None


def variant_methods(names: Sequence[str]) -> dict[str, Explain]:
    """Return the methods ``names`` of ours, the baselines, and those of pytorch-grad-cam where it is installed."""
    methods: dict[str, Explain] = {name: METHODS[name].explain for name in names}
    methods |= {"flat box": flat_box, "center of the box": box_center}
    if grad_cam_installed():
        methods |= {name: peer_method(class_name) for name, class_name in PEERS.items()}
    return methods


def measure_explanations(
    predictor: Predictor,
    masked_images: Sequence[MaskedImage],
    names: Sequence[str],
    options: MethodOptions,
    score: float,
    progress: ProgressDisplay,
    command: str,
) -> BenchmarkTable:
    """Return a table with a row for each variant, over all detections of at least ``score`` that match an object with
    a mask.

    command: the command that makes the table again.
    """
    scores = {name: _MethodScores() for name in variant_methods(names)}
    costs: list[float] = []
    for masked in masked_images:
        rgb = read_image(masked.image)
        images = predictor.preprocess_image(rgb).to(predictor.compute.device)
        cases = make_cases(predictor, masked, images, score)
        sizes = (images.sizes[0], (rgb.shape[0], rgb.shape[1]))
        for name, explain in variant_methods(names).items():
            scores[name].add(cases, explain, options, sizes, name in RANDOM)
        costs += [saliency_cost(cases[0].target)] if cases else []
        progress.advance(1)
    map_scores = next(iter(scores.values())).map_scores
    num_detections, num_leakages = len(map_scores), sum(scored.leakage is not None for scored in map_scores)
    notes = [
        f"{num_detections} detections with a score of at least {score:g} that match an object with a mask (IoU "
        f"{MATCH_IOU:g}), in {len(masked_images)} images; energy, pointing and leakage are measured on masks.",
        f"leakage: fraction of the map on other objects of the class, for the {num_leakages} detections with such "
        "objects in the image; insertion and deletion are relative to the score of the unchanged image.",
    ]
    if costs:
        notes.append(
            f"saliency of a detection takes {np.median(costs):.2f} times one forward and backward pass (median of "
            f"{len(costs)} images)"
        )
    means = {name: method_scores.means() for name, method_scores in scores.items()}
    if grad_cam_installed() and num_detections:
        notes += targets_met({name: means[name] for name in names}, {name: means[name] for name in PEERS})
    elif not grad_cam_installed():
        notes.append("pytorch-grad-cam is not installed: pip install grad-cam")
    rows = tuple((name, *astuple(method_means)) for name, method_means in means.items())
    return BenchmarkTable("Explanations on objects with masks", command, COLUMNS, rows, tuple(notes))


class _MethodScores:
    """Collects the scores of one variant's heat maps."""

    def __init__(self) -> None:
        self.map_scores: list[MapScores] = []
        self._correlations: list[float] = []
        self._seed_stds: list[float] = []
        self._seconds = 0.0

    def add(
        self,
        cases: Sequence[ExplanationCase],
        explain: Explain,
        options: MethodOptions,
        sizes: tuple[Size, Size],
        random: bool,
    ) -> None:
        """Add the cases of an image; sizes: (h, w) of the image in canvas pixels, and of the image file."""
        start = time.perf_counter()
        heatmaps = _explain(cases, explain, options)
        self._seconds += time.perf_counter() - start
        image_maps = _to_image_pixels(cases, heatmaps, sizes)
        self.map_scores += [_score_map(*triple) for triple in zip(cases, heatmaps, image_maps, strict=True)]
        self._correlations += _correlations(cases, image_maps)
        if random:
            other_seeds = [
                _to_image_pixels(cases, _explain(cases, explain, replace(options, seed=seed)), sizes)
                for seed in range(1, SEEDS)
            ]
            self._seed_stds += _seed_stds(cases, [image_maps, *other_seeds])

    def means(self) -> MethodMeans:
        """Return the means over all detections."""
        leakages = [scores.leakage for scores in self.map_scores if scores.leakage is not None]
        return MethodMeans(
            _mean([scores.energy for scores in self.map_scores]),
            _mean([float(scores.pointing) for scores in self.map_scores]),
            _mean([scores.insertion_minus_deletion for scores in self.map_scores]),
            _mean(leakages),
            _mean(self._correlations),
            _mean(self._seed_stds),
            self._seconds / len(self.map_scores) if self.map_scores else None,
        )


def _explain(cases: Sequence[ExplanationCase], explain: Explain, options: MethodOptions) -> list[Tensor]:
    """Return one map (1, h, w) for each case; the detections of a target are explained together."""
    by_target: dict[int, Tensor] = {}
    heatmaps = []
    for case in cases:
        if id(case.target) not in by_target:
            by_target[id(case.target)] = explain(case.target, options).detach()
        heatmaps.append(reduce_channels(by_target[id(case.target)][case.index], "max"))
    return heatmaps


def _to_image_pixels(
    cases: Sequence[ExplanationCase], heatmaps: Sequence[Tensor], sizes: tuple[Size, Size]
) -> list[np.ndarray]:
    return [to_image_pixels(heatmap, case.target, *sizes) for heatmap, case in zip(heatmaps, cases, strict=True)]


def _score_map(case: ExplanationCase, heatmap: Tensor, image_map: np.ndarray) -> MapScores:
    """Return the scores of a map: heatmap (1, h, w) over the target's pixels, image_map (H, W, 1) over the image's."""
    (x, y), _ = peak_and_energy(image_map, np.zeros(4))
    return MapScores(
        energy=energy_in(image_map, case.mask),
        pointing=bool(image_map.any() and case.mask[y, x]),
        insertion_minus_deletion=faithfulness(case.target, case.index, heatmap[0]).insertion_minus_deletion,
        leakage=energy_in(image_map, case.other_masks) if case.other_masks.any() else None,
    )


def _correlations(cases: Sequence[ExplanationCase], image_maps: Sequence[np.ndarray]) -> list[float]:
    """Return the correlations between the maps of detections whose boxes share no pixel; constant maps have none."""
    correlations = []
    for a, b in combinations(range(len(cases)), 2):
        boxes = [cases[i].target.detections[cases[i].index].box[None] for i in (a, b)]
        if not float(box_ops.intersections(*boxes)) and image_maps[a].std() and image_maps[b].std():
            correlations.append(float(np.corrcoef(image_maps[a].ravel(), image_maps[b].ravel())[0, 1]))
    return correlations


def _seed_stds(cases: Sequence[ExplanationCase], by_seed: Sequence[Sequence[np.ndarray]]) -> list[float]:
    """Return the standard deviation of the mask energy of each case over the seeds."""
    return [
        float(np.std([energy_in(image_maps[i], case.mask) for image_maps in by_seed], ddof=1))
        for i, case in enumerate(cases)
    ]


def energy_in(image_map: np.ndarray, mask: np.ndarray) -> float:
    """Return the fraction of the values above 0 of a map (H, W, 1) that lies in a mask (H, W); 0 for an empty map."""
    values = image_map[:, :, 0].clip(min=0).astype(np.float64)
    total = float(values.sum())
    return float(values[mask].sum()) / total if total else 0.0


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
