from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.formats.numbers import from_centre, from_outline, minus_one, number, plain, plus_one, to_centre

coordinates = st.floats(-1e7, 1e7, allow_nan=False)
sides = st.integers(1, 100_000)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 0.0), (" 48 ", 47.0), ("1.1", 0.1), ("45.70000076293945", 44.70000076293945), ("1e2", 99.0), ("-5", -6.0)],
)
def test_minus_one_is_of_the_decimal(text: str, value: float) -> None:
    assert minus_one(text) == value


@pytest.mark.parametrize("text", [None, "", "wide", "nan"])
def test_what_is_no_number_is_nan(text: str | None) -> None:
    assert math.isnan(minus_one(text))
    assert math.isnan(number(text))


def test_what_is_too_large_is_infinite() -> None:
    assert minus_one("1e999") == minus_one("inf") == from_centre(["1e9999999", "0", "1", "1"], (9, 9))[2] == math.inf


@pytest.mark.parametrize(("value", "text"), [(3.0, "3"), (0.1, "0.1"), (-2.0, "-2"), (1e300, "1e+300")])
def test_plain(value: float, text: str) -> None:
    assert plain(value) == text


@settings(deadline=None)
@given(coordinates)
def test_plus_one_and_back(value: float) -> None:
    assert minus_one(plus_one(value)) == value
    assert float(plain(value)) == value


@pytest.mark.parametrize(
    ("fields", "size", "box"),
    [
        ("0.5 0.5 1 1", (333, 500), (0, 0, 500, 333)),
        ("0.5 0.5 1 1", (7, 3), (0, 0, 3, 7)),
        ("0.25 0.5 0.5 0.2", (10, 20), (0, 4, 10, 6)),
        ("0 0 0.2 0.2", (10, 10), (-1, -1, 1, 1)),
    ],
)
def test_from_centre(fields: str, size: tuple[int, int], box: tuple[float, ...]) -> None:
    assert from_centre(fields.split(), size) == box


def test_from_centre_is_nearly_float_arithmetic() -> None:
    x1, y1, x2, y2 = from_centre(["0.516", "0.3", "0.21", "0.4"], (375, 500))
    assert (x1, x2) == pytest.approx(((0.516 - 0.105) * 500, (0.516 + 0.105) * 500), rel=1e-14)
    assert (y1, y2) == pytest.approx((0.1 * 375, 0.5 * 375), rel=1e-14)


def test_from_outline() -> None:
    assert from_outline(["0.1", "0.9", "0.5", "0.2", "0.3", "1"], (100, 10)) == (1, 20, 5, 100)
    assert all(map(math.isnan, from_outline(["0.1", "0.9", "x", "0.2", "0.3", "1"], (100, 10))))


@pytest.mark.parametrize(
    ("box", "size", "texts"),
    [
        ((0, 0, 640, 480), (480, 640), "0.5 0.5 1 1"),
        ((64, 48, 320, 240), (480, 640), "0.3 0.3 0.4 0.4"),
    ],
)
def test_fractions_are_short(box: tuple[float, ...], size: tuple[int, int], texts: str) -> None:
    assert " ".join(to_centre(box, size)) == texts


@settings(deadline=None)
@given(st.tuples(coordinates, coordinates, coordinates, coordinates), st.tuples(sides, sides))
def test_fractions_and_back(box: tuple[float, float, float, float], size: tuple[int, int]) -> None:
    assert from_centre(to_centre(box, size), size) == box
