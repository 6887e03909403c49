"""The table of a comparison of adversaries: AP, its spread, and the paired gain with its 95% interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tools.paired_gain import gain_of_pairs

NONE = "none"  # the stages of the others, without an adversary
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
            cells += [f"{100 * statistics.mean(scores):.1f}", deviation, "-" if gain is None else gain.in_points()]
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
