"""Two runs on the same images: is one better, how sure is that, and where do they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from detect.data.image_names import below_shared_folder
from detect.evaluation.analysis.bootstrap import Interval, draw, interval, means, resampled
from detect.evaluation.analysis.image_counts import Tallies, best_thresholds, tally
from detect.evaluation.analysis.matches import Matches
from detect.evaluation.columns import Floats
from detect.evaluation.score import Score


@dataclass(frozen=True)
class Difference:
    """By how much the second run's AP is higher, with its 95% interval.

    second_better: in what share of the samples of images it is higher, equal ones counted half.
    """

    interval: Interval
    second_better: float

    def to_json(self) -> dict[str, Any]:
        """``{"value", "interval": [low, high], "second_better"}``."""
        ends = [self.interval.low, self.interval.high]
        return {"value": self.interval.value, "interval": ends, "second_better": self.second_better}


@dataclass(frozen=True)
class Tally:
    """Objects found, false detections and missed objects of one image."""

    found: int
    false: int
    missed: int


@dataclass(frozen=True)
class ImageDifference:
    """An image, by its path, on which two runs differ."""

    file: str
    first: Tally
    second: Tally

    @property
    def fewer(self) -> int:
        """How many false detections and missed objects the second run has less."""
        return self.first.false + self.first.missed - self.second.false - self.second.missed


@dataclass(frozen=True)
class RunComparison:
    """The second run's AP against the first's: the mean, and by class those that both know (None where there is nothing
    to find); images: those whose false detections and missed objects differ most in number, most first.
    """

    mAP: Difference | None  # noqa: N815  the field's own spelling
    per_class: dict[str, Difference | None]
    images: tuple[ImageDifference, ...]
    replicates: int

    def to_json(self, primary: str) -> dict[str, Any]:
        """``{primary: difference, "per_class": {name: difference}, "images": [{"file", "first", "second"}],
        "replicates"}``; primary: what the metric calls the mean, mAP or AP.
        """
        return {
            primary: None if self.mAP is None else self.mAP.to_json(),
            "per_class": {name: None if one is None else one.to_json() for name, one in self.per_class.items()},
            "images": [asdict(image) for image in self.images],
            "replicates": self.replicates,
        }


def compare_runs(
    first: Matches, second: Matches, files: Sequence[str], replicates: int = 1000, seed: int = 0, most: int = 20
) -> RunComparison:
    """Paired bootstrap: both runs are scored on the same samples of images. (Images that are hard for one are for the
    other, so that the difference is known better than either value.)

    first and second: of the same images under the same rules; their classes may differ in order, and one may know more.
    files: the path of each image. On single images each run is cut off at the scores of its own best F1. ValueError
    where the images are not the same in number.
    """
    images = len(files)
    if not len(first.images) == len(second.images) == images:
        raise ValueError(f"expected two runs of {images} images, found {len(first.images)} and {len(second.images)}")
    ones, drawn = np.ones((images, 1), np.int32), draw(images, replicates, seed)
    values = [resampled(run, ones)[0] for run in (first, second)]
    draws = [resampled(run, drawn) for run in (first, second)]
    per_class = {}
    for k, name in enumerate(first.classes):
        if name in second.classes:
            j = second.classes.index(name)
            per_class[name] = _difference(values[1][j] - values[0][k], draws[1][:, j] - draws[0][:, k])
    mean_values = [means(value[None])[0] for value in values]
    return RunComparison(
        mAP=_difference(mean_values[1] - mean_values[0], means(draws[1]) - means(draws[0])),
        per_class=per_class,
        images=_most_different(_at_best_f1(first), _at_best_f1(second), files, most),
        replicates=replicates,
    )


def _difference(value: float, draws: Floats) -> Difference | None:
    ends = interval(value, draws)
    if ends is None:
        return None
    known = draws[~np.isnan(draws)]
    return Difference(ends, float((known > 0).mean() + (known == 0).mean() / 2))


def _at_best_f1(run: Matches) -> Tallies:
    return tally(run, best_thresholds(run))


def _most_different(first: Tallies, second: Tallies, files: Sequence[str], most: int) -> tuple[ImageDifference, ...]:
    fewer = np.abs(first.wrong - second.wrong)
    ranked = np.argsort(-fewer, kind="stable")[:most]
    return tuple(
        ImageDifference(files[image], _of_image(first, image), _of_image(second, image))
        for image in ranked[fewer[ranked] > 0].tolist()
    )


def _of_image(tallies: Tallies, image: int) -> Tally:
    return Tally(int(tallies.found[image]), int(tallies.false[image]), int(tallies.missed[image]))


def difference_table(first: Score, second: Score, comparison: RunComparison) -> Table:
    """AP by class and its mean under both, the difference in points, and how sure it is."""
    table = Table(title=f"{first.metric}: the second model against the first, {first.images} images")
    for name in ("class", "first", "second", "difference", "95% interval", "second better"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, difference in comparison.per_class.items():
        table.add_row(name, *_cells(first.per_class[name], second.per_class[name], difference))
    table.add_section()
    table.add_row(first.primary_name, *_cells(first.primary, second.primary, comparison.mAP), style="bold")
    return table


def image_table(comparison: RunComparison, most: int = 10) -> Table:
    """The images that differ most, each class of each run from the score of its best F1 on."""
    table = Table(title="Where they differ most: objects found, false detections, objects missed")
    table.add_column("image", overflow="fold")
    for name in ("first", "second", "errors"):
        table.add_column(name, justify="right")
    images = comparison.images[:most]
    for image, name in zip(images, below_shared_folder([image.file for image in images]), strict=True):
        table.add_row(name, _told(image.first), _told(image.second), f"{-image.fewer:+d}")
    return table


def _cells(first: float | None, second: float | None, difference: Difference | None) -> list[str]:
    if first is None or second is None or difference is None:
        return ["-"] * 5
    ends = difference.interval
    return [
        f"{100 * first:.1f}",
        f"{100 * second:.1f}",
        _points(ends.value),
        f"{_points(ends.low)} to {_points(ends.high)}",
        f"{100 * difference.second_better:.0f}%",
    ]


def _points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:+.1f}"


def _told(tally: Tally) -> str:
    return f"{tally.found}, {tally.false}, {tally.missed}"
