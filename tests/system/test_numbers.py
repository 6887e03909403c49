from __future__ import annotations

import math

import pytest

from detect.system.files import format_bytes
from detect.system.numbers import format_number, largest


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.12345, "0.123"),
        (37.5, "37.5"),
        (999.4, "999"),
        (999.6, "1000"),
        (2000, "2000"),
        (-12345.6, "-12346"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(number: float, text: str) -> None:
    assert format_number(number) == text


def test_bytes_round_to_the_next_unit() -> None:
    assert [format_bytes(count) for count in (0, 999, 999_600, 2e12)] == ["0 bytes", "999 bytes", "1 MB", "2000 GB"]


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([], 0.0), ([0.25, 0.5], 0.5), ([math.nan, 0.5], math.inf), ([0.5, math.nan], math.inf), ([math.inf], math.inf)],
)
def test_largest_does_not_pass_over_what_is_not_a_number(differences: list[float], expected: float) -> None:
    assert largest(differences) == expected
