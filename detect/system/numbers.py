"""Numbers as text for people, and the largest of differences."""

from __future__ import annotations

import math
from collections.abc import Iterable


def largest(differences: Iterable[float]) -> float:
    """Return the largest difference, 0 of none; infinity where one is not a number, which ``max`` may pass over."""
    return max((math.inf if math.isnan(each) else each for each in differences), default=0.0)


def format_number(number: float) -> str:
    """Return a number with three significant digits, from 1000 on without decimals: 0.5, 37.5, 2000, never 2e+03."""
    if abs(number) >= 999.5 and math.isfinite(number):
        return f"{number:.0f}"
    return f"{number:.3g}"


def format_count(count: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun: "1 photo", "2 photos". plural: of nouns that do not just take an s."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"
