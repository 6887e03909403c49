"""The table of a comparison of adversaries: AP, its spread, and the paired gain with its 95% interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NONE = "none"  # the stages of the others, without an adversary
# Half of the 95% interval of a mean, in standard errors: quantiles of Student's t for 1 to 9 degrees of freedom.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
EXCLUDED_GAIN = 0.02  # of AP on occluded objects: a null counts only where its interval excludes it


@dataclass(frozen=True)
class Outcome:
    """What came out of a training: AP of all and of occluded objects, minutes, and seconds of a step of its last
    stage.
    """

    all_objects: float
    occluded: float
    minutes: float
    step_seconds: float


@dataclass(frozen=True)
class Gain:
    """The mean of paired differences and its 95% interval, which needs two pairs (None of a single one)."""

    mean: float
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        """Return the gain in points, with its interval."""
        ends = "" if self.interval is None else f" ({100 * self.interval[0]:+.1f} to {100 * self.interval[1]:+.1f})"
        return f"{100 * self.mean:+.1f}{ends}"


def gain_of_pairs(base: Sequence[float], scores: Sequence[float]) -> Gain:
    """Return the gain of scores over those of the base with the same seeds. Raises ValueError without any.

    Both begin at the same seed; scores may have fewer seeds.
    """
    differences = [score - of_base for of_base, score in zip(base, scores, strict=False)]
    if not differences:
        raise ValueError("differences: expected at least one, found none")
    mean = statistics.mean(differences)
    if len(differences) == 1:
        return Gain(mean, None)
    quantile = T_QUANTILES[min(len(differences) - 2, len(T_QUANTILES) - 1)]
    half_width = quantile * statistics.stdev(differences) / math.sqrt(len(differences))
    return Gain(mean, (mean - half_width, mean + half_width))


def format_outcomes(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Return a row for each adversary: AP in percent, its spread, the gain over none, minutes, and cost of a step."""
    lines = [
        "| adversary | seeds | AP, all | deviation | gain over none | AP, occluded | deviation | gain over none "
        f"| below {100 * EXCLUDED_GAIN:+.0f} | minutes | step |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    base = outcomes.get(NONE, ())
    for name, runs in outcomes.items():
        if not runs:
            continue
        cells = [name, str(len(runs))]
        for metric in ("all_objects", "occluded"):
            scores = [getattr(run, metric) for run in runs]
            deviation = f"{100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else "-"
            gain = gain_of_pairs([getattr(run, metric) for run in base], scores) if base and name != NONE else None
            cells += [f"{100 * statistics.mean(scores):.1f}", deviation, "-" if gain is None else str(gain)]
        is_null = gain is not None and gain.interval is not None and gain.interval[1] < EXCLUDED_GAIN
        cost = statistics.median(run.step_seconds for run in runs)
        base_cost = statistics.median(run.step_seconds for run in base) if base else math.nan
        cells += [
            "-" if name == NONE else "yes" if is_null else "no",
            f"{statistics.mean(run.minutes for run in runs):.1f}",
        ]
        lines.append("| " + " | ".join([*cells, f"{cost / base_cost:.2f}"]) + " |")
    note = (
        "Gains are in points, means of pairs of seeds with their 95% intervals (Student's t). "
        f"below {100 * EXCLUDED_GAIN:+.0f}: the interval of the gain on occluded objects ends below that. "
        "step: the median seconds of a step of the last stage, relative to none; like minutes, beside what else ran."
    )
    return "\n".join([*lines, "", note, ""])
