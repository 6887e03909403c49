"""Whether explanations lie on the object, and are true: each method beside two controls and pytorch-grad-cam.

A flat box and the box's centre know nothing of the network. The centre of a box that found its object lies in the
object's box, so that pointing into boxes proves nothing: objects are masks here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import combinations

import numpy as np
from torch import Tensor

from detect.bench.explaining_cases import MATCH_IOU, ExplanationCase, MaskedImage, make_cases, box_center, flat_box
from detect.bench.explaining_targets import MethodMeans, targets_reached, saliency_cost
from detect.bench.gradcam_peer import PEERS, Explain, grad_cam_installed, peer_method
from detect.bench.result_tables import Table
from detect.data.images import read_image
from detect.explain.attribution.faithfulness import faithfulness
from detect.explain.attribution.heatmaps import to_image_pixels, peak_and_energy, reduce_channels
from detect.explain.attribution.methods import METHODS
from detect.explain.attribution.options import MethodOptions
from detect.inference.predictor import Predictor
from detect.ops import boxes as box_ops
from detect.system.progress import ProgressDisplay
from detect.types import Size

RANDOM = ("smoothgrad", "drise")
SEEDS = 3  # of what is random
COLUMNS = (
    "method",
    "mask energy",
    "pointing",
    "insertion - deletion",
    "leakage",
    "correlation of disjoint boxes",
    "seeds' spread of energy",
    "seconds a box",
)


@dataclass(frozen=True)
class MapScores:
    """Of one map. energy: share of what is above 0 in the mask; pointing: its highest pixel is in the mask; leakage:
    share in the masks of other objects of the class, None where there are none.
    """

    energy: float
    pointing: bool
    insertion_minus_deletion: float
    leakage: float | None


def contender_methods(names: Sequence[str]) -> dict[str, Explain]:
    """Ours, the controls, and the package's where it is installed."""
    found: dict[str, Explain] = {name: METHODS[name].explain for name in names}
    found |= {"flat box": flat_box, "centre of the box": box_center}
    if grad_cam_installed():
        found |= {told: peer_method(name) for told, name in PEERS.items()}
    return found


def measure_explanations(
    predictor: Predictor,
    image_files: Sequence[MaskedImage],
    names: Sequence[str],
    choice: MethodOptions,
    score: float,
    shown: ProgressDisplay,
    command: str,
) -> Table:
    """A row for each contender, over all detections of at least ``score`` that found an object with a mask; command:
    the one that makes the table again.
    """
    kept = {name: _MethodScores() for name in contender_methods(names)}
    costs: list[float] = []
    for masked in image_files:
        rgb = read_image(masked.image)
        images = predictor.preprocess_image(rgb).to(predictor.compute.device)
        cases = make_cases(predictor, masked, images, score)
        for name, explain in contender_methods(names).items():
            with predictor.compute.autocast():
                kept[name].add(cases, explain, choice, (images.sizes[0], (rgb.shape[0], rgb.shape[1])), name in RANDOM)
        costs += [saliency_cost(cases[0].target)] if cases else []
        shown.advance(1)
    marks = next(iter(kept.values())).map_scores
    count, leaks = len(marks), sum(one.leakage is not None for one in marks)
    remarks = [
        f"{count} detections that score {score:g} and found an object with a mask (IoU {MATCH_IOU:g}), in "
        f"{len(image_files)} images; energy, pointing and leakage are by masks.",
        f"leakage: share of the map on other objects of the class, for the {leaks} with some in the image; insertion "
        "and deletion are in units of the starting score.",
    ]
    if costs:
        remarks.append(
            f"saliency of a detection takes {np.median(costs):.2f} times one forward and backward pass (median of "
            f"{len(costs)} images)"
        )
    means = {name: own.means() for name, own in kept.items()}
    if grad_cam_installed() and count:
        remarks += targets_reached({name: means[name] for name in names}, {name: means[name] for name in PEERS})
    elif not grad_cam_installed():
        remarks.append("pytorch-grad-cam is not installed: pip install grad-cam")
    rows = tuple((name, *astuple(own)) for name, own in means.items())
    return Table("Explanations on objects with masks", command, COLUMNS, rows, tuple(remarks))


class _MethodScores:
    """What one contender's maps were worth, detection by detection."""

    def __init__(self) -> None:
        self.map_scores: list[MapScores] = []
        self._correlations: list[float] = []
        self._seed_stds: list[float] = []
        self._seconds = 0.0

    def add(
        self, cases: Sequence[ExplanationCase], explain: Explain, choice: MethodOptions, sizes: tuple[Size, Size], random: bool
    ) -> None:
        """The cases of an image; sizes: of the canvas's picture and of the image."""
        start = time.perf_counter()
        heats = _explain(cases, explain, choice)
        self._seconds += time.perf_counter() - start
        placed = _to_image_pixels(cases, heats, sizes)
        self.map_scores += [_score_map(*three) for three in zip(cases, heats, placed, strict=True)]
        self._correlations += _correlations(cases, placed)
        if random:
            again = [
                _to_image_pixels(cases, _explain(cases, explain, replace(choice, seed=seed)), sizes) for seed in range(1, SEEDS)
            ]
            self._seed_stds += _seed_stds(cases, [placed, *again])

    def means(self) -> MethodMeans:
        """Over all detections."""
        leaks = [one.leakage for one in self.map_scores if one.leakage is not None]
        return MethodMeans(
            _mean([one.energy for one in self.map_scores]),
            _mean([float(one.pointing) for one in self.map_scores]),
            _mean([one.insertion_minus_deletion for one in self.map_scores]),
            _mean(leaks),
            _mean(self._correlations),
            _mean(self._seed_stds),
            self._seconds / len(self.map_scores) if self.map_scores else None,
        )


def _explain(cases: Sequence[ExplanationCase], explain: Explain, choice: MethodOptions) -> list[Tensor]:
    """One map (1, h, w) for each case; a view's detections are explained together."""
    by_view: dict[int, Tensor] = {}
    found = []
    for case in cases:
        if id(case.target) not in by_view:
            by_view[id(case.target)] = explain(case.target, choice).detach()
        found.append(reduce_channels(by_view[id(case.target)][case.index], "max"))
    return found


def _to_image_pixels(cases: Sequence[ExplanationCase], heats: Sequence[Tensor], sizes: tuple[Size, Size]) -> list[np.ndarray]:
    return [to_image_pixels(heat, case.target, *sizes) for heat, case in zip(heats, cases, strict=True)]


def _score_map(case: ExplanationCase, heat: Tensor, placed: np.ndarray) -> MapScores:
    (x, y), _ = peak_and_energy(placed, np.zeros(4))
    return MapScores(
        energy=energy_in(placed, case.mask),
        pointing=bool(placed.any() and case.mask[y, x]),
        insertion_minus_deletion=faithfulness(case.target, case.index, heat[0]).insertion_minus_deletion,
        leakage=energy_in(placed, case.other_masks) if case.other_masks.any() else None,
    )


def _correlations(cases: Sequence[ExplanationCase], placed: Sequence[np.ndarray]) -> list[float]:
    """Correlations between the maps of detections whose boxes share no pixel; maps without any contrast have none."""
    found = []
    for a, b in combinations(range(len(cases)), 2):
        boxes = [cases[i].target.detections[cases[i].index].box[None] for i in (a, b)]
        if not float(box_ops.intersections(*boxes)) and placed[a].std() and placed[b].std():
            found.append(float(np.corrcoef(placed[a].ravel(), placed[b].ravel())[0, 1]))
    return found


def _seed_stds(cases: Sequence[ExplanationCase], by_seed: Sequence[Sequence[np.ndarray]]) -> list[float]:
    """Of each case the standard deviation of its mask energy over seeds."""
    return [
        float(np.std([energy_in(placed[number], case.mask) for placed in by_seed], ddof=1))
        for number, case in enumerate(cases)
    ]


def energy_in(placed: np.ndarray, mask: np.ndarray) -> float:
    """The share of what is above 0 that lies in a mask; 0 where nothing is."""
    values = placed[:, :, 0].clip(min=0).astype(np.float64)
    total = float(values.sum())
    return float(values[mask].sum()) / total if total else 0.0


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
