"""The gain of one configuration over another in pairs of trainings that have a seed in common."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Half of the 95% interval of a mean, in standard errors: quantiles of Student's t for 1 to 9 degrees of freedom.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Gain:
    """The mean of paired differences and its 95% interval, which needs two pairs (None of a single one)."""

    mean: float
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        """Return the gain with its interval."""
        return self._format(1, 3)

    def in_points(self) -> str:
        """Return the gain times 100, with its interval."""
        return self._format(100, 1)

    def _format(self, factor: float, digits: int) -> str:
        mean, *ends = (f"{factor * number:+.{digits}f}" for number in (self.mean, *(self.interval or ())))
        return f"{mean} ({' to '.join(ends)})" if ends else mean


def gain_of_pairs(base: Sequence[float], scores: Sequence[float]) -> Gain:
    """Return the gain of scores over those of the base with the same seeds. Raises ValueError without any.

    The interval is Student's t; beyond ten pairs it has the quantile of ten, which is wider. Both begin at the same
    seed; scores may have fewer seeds.
    """
    differences = [score - of_base for of_base, score in zip(base, scores, strict=False)]
    if not differences:
        raise ValueError("differences: expected at least one, found none")
    mean = statistics.mean(differences)
    if len(differences) == 1:
        return Gain(mean=mean, interval=None)
    quantile = T_QUANTILES[min(len(differences) - 2, len(T_QUANTILES) - 1)]
    half_width = quantile * statistics.stdev(differences) / math.sqrt(len(differences))
    return Gain(mean=mean, interval=(mean - half_width, mean + half_width))
