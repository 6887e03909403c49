"""Adapts the size of the images, and then the anchors, to objects that the anchors of the initial model miss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detect.data.annotations import Annotations
from detect.data.inspect.anchor_recall import ScaledObjects, best_anchor_iou, scale_objects
from detect.data.inspect.statistics import AnchorConfig
from detect.ops.anchors import AnchorGenerator
from detect.ops.preprocess import Preprocess
from detect.training.finetuning.choice import Choice

MIN_IOU = 0.5  # an object that no anchor overlaps as much is hardly ever detected
ENOUGH = 0.95  # of the objects
MIN_GAIN = 0.02  # a smaller one is not worth other sizes than those that the weights were trained on
# Of the size of the images, the nearest to 1 first. Twice the size takes four times as long.
FACTORS = (1.0, 1.25, 0.8, 1.5, 0.67, 1.75, 2.0)
_QUANTILES = (0.05, 0.95)


@dataclass(frozen=True)
class ImageSizes:
    """The preprocessing of detection, whose sizes are adapted, and the shorter sides that a training draws from."""

    preprocess: Preprocess
    min_sizes: tuple[int, ...]


@dataclass(frozen=True)
class ObjectChoices:
    """The choices of ``choose_for_objects``, and a line for the log on what the initial anchors reach."""

    choices: tuple[Choice, ...]
    line: str


def choose_for_objects(
    annotations: Annotations, sizes: ImageSizes, anchors: AnchorConfig, may_resize: bool, may_adapt: bool
) -> ObjectChoices:
    """Return no choice if the anchors reach ENOUGH of the objects, else other image sizes, else other anchors too.

    may_resize, may_adapt: whether the sizes of the images, and the anchors, are free to be chosen.
    """

    def objects_at(factor: float) -> ScaledObjects:
        return scale_objects(annotations, _resize(sizes.preprocess, factor))

    before = reach(objects_at(1.0), anchors)
    factor, reason = 1.0, ""
    if may_resize:
        factor = choose_factor(lambda factor: reach(objects_at(factor), anchors))
        reason = f"the anchors reach {reach(objects_at(factor), anchors):.3f} of the objects then, not {before:.3f}"
        if factor != 1.0 and may_adapt and reach(objects_at(factor), anchors) < ENOUGH:
            others = replace(anchors, generator=adapt_anchors(objects_at(1.0), anchors))
            if reach(objects_at(1.0), others) >= ENOUGH:
                factor = 1.0  # other anchors are enough, and larger images take longer
    choices = [] if factor == 1.0 else _size_choices(sizes, factor, reason)
    if may_adapt:
        choices += _choose_anchors(objects_at(factor), anchors)
    line = f"anchors of the initial model: {before:.3f} of the objects overlap one by {MIN_IOU} or more"
    return ObjectChoices(choices=tuple(choices), line=line)


def _choose_anchors(objects: ScaledObjects, anchors: AnchorConfig) -> list[Choice]:
    """Return no choice if the anchors reach ENOUGH of the objects, else those of the anchors that reach more."""
    before = reach(objects, anchors)
    if before >= ENOUGH:
        return []
    adapted = adapt_anchors(objects, anchors)
    after = reach(objects, replace(anchors, generator=adapted))
    reason = f"they reach {after:.3f} of the objects, not {before:.3f}"
    return _anchor_choices(anchors.generator, adapted, reason)


def _size_choices(sizes: ImageSizes, factor: float, reason: str) -> list[Choice]:
    """Return the choices of images whose sides are ``factor`` times as long."""
    min_sizes = tuple(_scale_side(side, factor) for side in sizes.min_sizes)
    max_size = _scale_side(sizes.preprocess.max_size, factor)
    return [
        Choice("data.min_size", min_sizes if len(min_sizes) > 1 else min_sizes[0], reason),
        Choice("data.max_size", max_size, f"{factor:g} times that of the initial model"),
    ]


def _anchor_choices(before: AnchorGenerator, after: AnchorGenerator, reason: str) -> list[Choice]:
    """Return a choice for the sizes and for the ratios of the anchors, of those that changed."""
    choices = []
    if after.sizes != before.sizes:
        choices.append(
            Choice("model.rpn.anchor_sizes", after.sizes[0] if len(after.sizes) == 1 else after.sizes, reason)
        )
    if after.aspect_ratios != before.aspect_ratios:
        choices.append(Choice("model.rpn.aspect_ratios", after.aspect_ratios, reason))
    return choices


def _resize(preprocess: Preprocess, factor: float) -> Preprocess:
    """Return the preprocessing for images whose sides are ``factor`` times as long."""
    return replace(
        preprocess, min_size=_scale_side(preprocess.min_size, factor), max_size=_scale_side(preprocess.max_size, factor)
    )


def _scale_side(side: int, factor: float) -> int:
    """Return a side ``factor`` times as long, in whole pixels, 1 at least."""
    return max(1, round(side * factor))


def reach(objects: ScaledObjects, anchors: AnchorConfig) -> float:
    """Return the fraction of the objects, in 0..1, that some anchor overlaps by MIN_IOU; 1 without objects."""
    if not len(objects.boxes):
        return 1.0
    iou = best_anchor_iou(objects, anchors.generator, anchors.strides, anchors.allowed_border)
    return float((iou >= MIN_IOU).mean())


def choose_factor(reach_at: Callable[[float], float], factors: Iterable[float] = FACTORS) -> float:
    """Return the factor on the size of the images: the first of ``factors`` at which the anchors reach ENOUGH.

    Where none does, it is the one with the largest reach if that gains MIN_GAIN, else the first.
    """
    reached: dict[float, float] = {}
    for factor in factors:
        reached[factor] = reach_at(factor)
        if reached[factor] >= ENOUGH:
            return factor
    first, best = next(iter(reached)), max(reached, key=lambda factor: reached[factor])
    return best if reached[best] >= reached[first] + MIN_GAIN else first


def adapt_anchors(objects: ScaledObjects, anchors: AnchorConfig) -> AnchorGenerator:
    """Return anchors stretched to the range of the objects, as many for each map, so that the RPN's weights still fit.

    Sizes, ratios or both are stretched, whichever reaches most; the anchors stay if none gains MIN_GAIN.
    """
    generator = anchors.generator
    sizes = sorted({size for level in generator.sizes for size in level})
    width, height = (objects.boxes[:, 2:] - objects.boxes[:, :2]).T
    stretched = dict(zip(sizes, _stretch(sizes, np.sqrt(width * height), objects.labels), strict=True))
    by_size = replace(
        generator, sizes=tuple(tuple(max(1.0, round(stretched[size])) for size in level) for level in generator.sizes)
    )
    ratios = _stretch(generator.aspect_ratios, height / width, objects.labels)
    rounded = tuple(max(0.01, round(ratio, 2)) for ratio in ratios)
    by_ratio, by_both = (replace(start, aspect_ratios=rounded) for start in (generator, by_size))
    candidates = (generator, by_size, by_ratio, by_both)
    reached = [reach(objects, replace(anchors, generator=candidate)) for candidate in candidates]
    best = reached.index(max(reached))
    return candidates[best] if reached[best] >= reached[0] + MIN_GAIN else generator


def _stretch(lengths: Sequence[float], of_objects: np.ndarray, labels: np.ndarray) -> list[float]:
    """Return ``lengths`` moved, in their logarithms, to the range of all classes, each without its extremes.

    of_objects (T,): the lengths of the objects. An anchor reaches objects half and twice its area, so the outermost
    anchors lie a factor of 2 ** 0.5 inside.
    """
    logarithms = np.log(of_objects)
    ends = np.array([np.quantile(logarithms[labels == label], _QUANTILES) for label in np.unique(labels)])
    low, high = ends[:, 0].min() + np.log(2) / 2, ends[:, 1].max() - np.log(2) / 2
    spread = max((high - low) / 2, np.log(2) / 4)  # objects of one length have anchors a little apart all the same
    low, high = (low + high) / 2 - spread, (low + high) / 2 + spread
    positions = np.log(lengths)
    extent = np.ptp(positions)
    fractions = (positions - positions.min()) / extent if extent else np.full(len(positions), 0.5)
    return [float(length) for length in np.exp(low + fractions * (high - low))]
