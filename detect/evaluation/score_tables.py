"""Tables of scores for the terminal: of one detector, of profiles, and of two runs."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from detect.data.image_names import relative_to_shared_folder
from detect.evaluation.analysis.bootstrap import MIN_IMAGES
from detect.evaluation.analysis.by_attribute import RangeScore
from detect.evaluation.analysis.compare_runs import Difference, ImageCount, RunComparison
from detect.evaluation.profiles import ProfileScore, RuleChange, gain
from detect.evaluation.score import Score

_MAX_CLASSES = 5  # classes named for a rule; the JSON form has all


def score_table(score: Score) -> Table:
    """Return AP by class, then the metrics, in percent; a dash where there is no ground truth."""
    table = Table(title=f"{score.metric}: {score.images} images")
    table.add_column("class")
    table.add_column("AP" if score.metric == "coco" else "AP50", justify="right")
    for name, ap in score.per_class.items():
        table.add_row(name, percent(ap))
    table.add_section()
    for name, fraction in score.metrics.items():
        table.add_row(name, percent(fraction), style="bold" if name == score.primary_name else None)
    if score.segm is not None:
        table.add_section()
        for name, fraction in score.segm.items():
            table.add_row(f"segm {name}", percent(fraction), style="bold" if name == score.primary_name else None)
    return table


def range_table(ranges: Mapping[str, Mapping[str, RangeScore]]) -> Table:
    """Return the AP of each range of the properties that the labels mark, in percent, and its number of objects."""
    table = Table(title="AP of the objects that the labels mark")
    for name in ("property", "objects", "AP"):
        table.add_column(name, justify="left" if name == "property" else "right")
    for property_ranges in ranges.values():
        table.add_section()
        for name, score in property_ranges.items():
            table.add_row(name, str(score.objects), percent(score.mAP))
    return table


def profile_table(scores: Mapping[str, ProfileScore]) -> Table:
    """Return AP by class for every profile, then the mean, in percent."""
    table = Table(title="The same detections by the rules of other scorers")
    table.add_column("class")
    for name in scores:
        table.add_column(name.replace("-", "-\n"), justify="right")
    for name in next(iter(scores.values())).per_class:
        table.add_row(name, *(percent(score.per_class[name]) for score in scores.values()))
    table.add_section()
    table.add_row("mAP", *(percent(score.mAP) for score in scores.values()), style="bold")
    return table


def change_table(scores: Mapping[str, ProfileScore]) -> Table:
    """Return the effect of each rule of a profile on the mean and on the classes that change most, in points."""
    table = Table(title="Effect of each rule on AP, in points")
    table.add_column("rule")
    table.add_column("mAP", justify="right")
    table.add_column("classes")
    for name, score in scores.items():
        if score.base is None:
            continue
        table.add_section()
        table.add_row(f"{score.base} -> {name}", _points(gain(scores[score.base].mAP, score.mAP)), "", style="bold")
        for change in score.changes:
            table.add_row(f"{change.before} -> {change.after}", _points(change.mAP), _most_changed(change))
    return table


def _most_changed(change: RuleChange) -> str:
    """Return the classes whose AP changes by 0.005 points or more, the largest change first."""
    changed = [(name, by) for name, by in change.per_class.items() if by is not None and abs(by) >= 0.5e-4]
    changed.sort(key=lambda entry: -abs(entry[1]))
    named = ", ".join(f"{name} {_points(by)}" for name, by in changed[:_MAX_CLASSES])
    return f"{named}, {len(changed) - _MAX_CLASSES} more" if len(changed) > _MAX_CLASSES else named or "none"


def difference_table(first: Score, second: Score, comparison: RunComparison) -> Table:
    """Return AP by class and its mean for two runs, the difference in points, and how certain it is."""
    few = f"fewer than {MIN_IMAGES} images: the intervals are too narrow" if first.images < MIN_IMAGES else None
    title = f"{first.metric}: the second model against the first, {first.images} images"
    table = Table(title=title, caption=few)
    for name in ("class", "first", "second", "difference", "95% interval", "second better"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, difference in comparison.per_class.items():
        table.add_row(name, *_difference_cells(first.per_class[name], second.per_class[name], difference))
    table.add_section()
    mean_cells = _difference_cells(first.primary, second.primary, comparison.mAP)
    table.add_row(first.primary_name, *mean_cells, style="bold")
    return table


def image_table(comparison: RunComparison, max_images: int = 10) -> Table:
    """Return the images on which two runs differ most; each class of a run is cut off at its score of best F1."""
    table = Table(title="Images that differ most: true positives, false positives, missed objects")
    table.add_column("image", overflow="fold")
    for name in ("first", "second", "errors"):
        table.add_column(name, justify="right")
    images = comparison.images[:max_images]
    for image, name in zip(images, relative_to_shared_folder([image.file for image in images]), strict=True):
        table.add_row(name, _format_count(image.first), _format_count(image.second), f"{-image.error_reduction:+d}")
    return table


def _difference_cells(first: float | None, second: float | None, difference: Difference | None) -> list[str]:
    if first is None or second is None or difference is None:
        return ["-"] * 5
    ends = difference.interval
    return [
        percent(first),
        percent(second),
        _points(ends.value, 1),
        f"{_points(ends.low, 1)} to {_points(ends.high, 1)}",
        f"{100 * difference.second_better:.0f}%",
    ]


def _format_count(count: ImageCount) -> str:
    return f"{count.true_positives}, {count.false_positives}, {count.false_negatives}"


def percent(fraction: float | None) -> str:
    """Return a fraction in percent with one decimal, 0.5781 -> 57.8; a dash for None."""
    return "-" if fraction is None else f"{100 * fraction:.1f}"


def _points(fraction: float | None, decimals: int = 2) -> str:
    """Return a difference of fractions in points with its sign, 0.0512 -> +5.12; a dash for None."""
    return "-" if fraction is None else f"{round(100 * fraction, decimals) + 0.0:+.{decimals}f}"
