"""Whether explanations lie on the object, and are true: each method beside two controls and pytorch-grad-cam.

A flat box and the box's centre know nothing of the network. The centre of a box that found its object lies in the
object's box, so that pointing into boxes proves nothing: objects are masks here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from detect.bench.gradcam_peer import Explain, installed, peer
from detect.bench.masked import Masked
from detect.bench.tables import Table
from detect.data.images import read_image
from detect.display import Display
from detect.evaluation.detecting import to_device
from detect.explain.choice import Choice
from detect.explain.faithfulness import faithfulness
from detect.explain.heatmaps import on_photo, pointed, reduced
from detect.explain.methods import METHODS
from detect.explain.pinned import Pinned, View, pin, views
from detect.explain.trace import trace
from detect.ops import boxes as box_ops
from detect.predict.predictor import Predictor
from detect.preprocess import rescale_boxes
from detect.types import Images, Size

FOUND = 0.5  # IoU from which a detection has found an object
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
class Case:
    """A detection that found an object: its view and place in it, the object's mask, those of others of its class."""

    view: View
    place: int
    mask: np.ndarray
    others: np.ndarray


@dataclass(frozen=True)
class Marks:
    """Of one map. energy: share of what is above 0 in the mask; pointing: its highest pixel is in the mask; leakage:
    share in the masks of other objects of the class, None where there are none.
    """

    energy: float
    pointing: bool
    gain: float
    leakage: float | None


def flat_box(view: View, _: Choice) -> Tensor:
    """1 in the detection's box, 0 elsewhere."""
    return _drawn(view, shrink=0.0)


def centre(view: View, _: Choice) -> Tensor:
    """A tenth of the box, around its centre."""
    return _drawn(view, shrink=0.45)


def _drawn(view: View, shrink: float) -> Tensor:
    height, width = view.pixels.shape[2:]
    x1, y1, x2, y2 = view.window.tolist()
    maps = torch.zeros(len(view.pinned), 1, height, width)
    for own, one in zip(maps, view.pinned, strict=True):
        left, top, right, bottom = one.box.tolist()
        dx, dy = (right - left) * shrink, (bottom - top) * shrink
        columns = [round((x - x1) / (x2 - x1) * width) for x in (left + dx, right - dx)]
        rows = [round((y - y1) / (y2 - y1) * height) for y in (top + dy, bottom - dy)]
        own[0, max(rows[0], 0) : max(rows[1], rows[0] + 1), max(columns[0], 0) : max(columns[1], columns[0] + 1)] = 1
    return maps.to(view.pixels.device)


def contenders(names: Sequence[str]) -> dict[str, Explain]:
    """Ours, the controls, and the package's where it is installed."""
    found: dict[str, Explain] = {name: METHODS[name].explain for name in names}
    found |= {"flat box": flat_box, "centre of the box": centre}
    if installed():
        found |= {f"pytorch-grad-cam {name}": peer(name) for name in ("GradCAM", "EigenCAM")}
    return found


def explaining(
    predictor: Predictor, photos: Sequence[Masked], names: Sequence[str], choice: Choice, score: float, shown: Display
) -> Table:
    """A row for each contender, over all detections of at least ``score`` that found an object with a mask."""
    kept = {name: _Kept() for name in contenders(names)}
    for masked in photos:
        rgb = read_image(masked.photo)
        images = to_device(predictor.prepared(rgb), predictor.compute.device)
        cases = _cases(predictor, masked, images, score)
        for name, explain in contenders(names).items():
            with predictor.compute.autocast():
                kept[name].add(cases, explain, choice, (images.sizes[0], (rgb.shape[0], rgb.shape[1])), name in RANDOM)
        shown.advance(1)
    count = len(next(iter(kept.values())).marks)
    remarks = [
        f"{count} detections that score {score:g} and found an object with a mask (IoU {FOUND:g}), in {len(photos)} "
        "photos; energy, pointing and leakage are by masks.",
        "leakage: share of the map on other objects of the class, where there are some; insertion and deletion are in "
        "units of the starting score.",
    ]
    if not installed():
        remarks.append("pytorch-grad-cam is not installed: pip install grad-cam")
    rows = tuple((name, *own.means()) for name, own in kept.items())
    return Table("Explanations on objects with masks", "detect bench explain MODEL ROOT", COLUMNS, rows, tuple(remarks))


class _Kept:
    """What one contender's maps were worth, detection by detection."""

    def __init__(self) -> None:
        self.marks: list[Marks] = []
        self._alike: list[float] = []
        self._spreads: list[float] = []
        self._seconds = 0.0

    def add(
        self, cases: Sequence[Case], explain: Explain, choice: Choice, sizes: tuple[Size, Size], random: bool
    ) -> None:
        """The cases of a photo; sizes: of the canvas's picture and of the photo."""
        start = time.perf_counter()
        heats = _maps(cases, explain, choice)
        self._seconds += time.perf_counter() - start
        placed = _placed(cases, heats, sizes)
        self.marks += [_marks(*three) for three in zip(cases, heats, placed, strict=True)]
        self._alike += _alike(cases, placed)
        if random:
            again = [
                _placed(cases, _maps(cases, explain, replace(choice, seed=seed)), sizes) for seed in range(1, SEEDS)
            ]
            self._spreads += _spread(cases, [placed, *again])

    def means(self) -> tuple[float | None, ...]:
        """As COLUMNS after the first; None where nothing was measured."""
        leaks = [one.leakage for one in self.marks if one.leakage is not None]
        return (
            _mean([one.energy for one in self.marks]),
            _mean([float(one.pointing) for one in self.marks]),
            _mean([one.gain for one in self.marks]),
            _mean(leaks),
            _mean(self._alike),
            _mean(self._spreads),
            self._seconds / len(self.marks) if self.marks else None,
        )


def _cases(predictor: Predictor, masked: Masked, images: Images, score: float) -> list[Case]:
    """The detections of a photo that found an object of their class."""
    with torch.no_grad(), predictor.compute.autocast():
        (traced,) = trace(predictor.single, images)
    pinned = [one for one in pin(traced) if one.score >= score]
    size = masked.masks[0].shape if masked.masks else (1, 1)
    found = {
        one.rank: place for one in pinned if (place := _object(predictor, masked, one, images.sizes[0])) is not None
    }
    chosen = [one for one in pinned if one.rank in found]
    cases = []
    for view in views(predictor.single, images, chosen, "score"):
        for place, one in enumerate(view.pinned):
            own = found[one.rank]
            others = [
                mask
                for number, mask in enumerate(masked.masks)
                if number != own and masked.names[number] == masked.names[own]
            ]
            cases.append(Case(view, place, masked.masks[own], np.any([np.zeros(size, bool), *others], axis=0)))
    return cases


def _object(predictor: Predictor, masked: Masked, one: Pinned, canvas: Size) -> int | None:
    """The place of the object of its class that a detection overlaps most, where that is enough."""
    if not masked.masks:
        return None
    height, width = masked.masks[0].shape
    box = rescale_boxes(one.box[None].cpu().double(), canvas, (height, width))
    overlaps = box_ops.iou(box, torch.from_numpy(masked.boxes))[0].numpy()
    overlaps[[name != predictor.classes[one.label - 1] for name in masked.names]] = 0
    best = int(overlaps.argmax())
    return best if overlaps[best] >= FOUND else None


def _maps(cases: Sequence[Case], explain: Explain, choice: Choice) -> list[Tensor]:
    """One map (1, h, w) for each case; a view's detections are explained together."""
    by_view: dict[int, Tensor] = {}
    found = []
    for case in cases:
        if id(case.view) not in by_view:
            by_view[id(case.view)] = explain(case.view, choice).detach()
        found.append(reduced(by_view[id(case.view)][case.place], "max"))
    return found


def _placed(cases: Sequence[Case], heats: Sequence[Tensor], sizes: tuple[Size, Size]) -> list[np.ndarray]:
    return [on_photo(heat, case.view, *sizes) for heat, case in zip(heats, cases, strict=True)]


def _marks(case: Case, heat: Tensor, placed: np.ndarray) -> Marks:
    (x, y), _ = pointed(placed, np.zeros(4))
    return Marks(
        energy=energy_in(placed, case.mask),
        pointing=bool(placed.any() and case.mask[y, x]),
        gain=faithfulness(case.view, case.place, heat[0]).gain,
        leakage=energy_in(placed, case.others) if case.others.any() else None,
    )


def _alike(cases: Sequence[Case], placed: Sequence[np.ndarray]) -> list[float]:
    """Correlations between the maps of detections whose boxes share no pixel; maps without any contrast have none."""
    found = []
    for a, b in combinations(range(len(cases)), 2):
        boxes = [cases[i].view.pinned[cases[i].place].box[None] for i in (a, b)]
        if not float(box_ops.intersections(*boxes)) and placed[a].std() and placed[b].std():
            found.append(float(np.corrcoef(placed[a].ravel(), placed[b].ravel())[0, 1]))
    return found


def _spread(cases: Sequence[Case], by_seed: Sequence[Sequence[np.ndarray]]) -> list[float]:
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
