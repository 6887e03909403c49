"""Numbers as text for people."""

from __future__ import annotations

import math


def format_number(number: float) -> str:
    """Return a number with three significant digits, from 1000 on without decimals: 0.5, 37.5, 2000, never 2e+03."""
    if abs(number) >= 999.5 and math.isfinite(number):
        return f"{number:.0f}"
    return f"{number:.3g}"
