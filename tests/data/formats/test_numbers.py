from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.formats.numbers import (
    format_center_box,
    format_float,
    format_plus_one,
    parse_center_box,
    parse_float,
    parse_minus_one,
    parse_polygon_box,
)

coordinates = st.floats(-1e7, 1e7, allow_nan=False)
sides = st.integers(1, 100_000)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 0.0), (" 48 ", 47.0), ("1.1", 0.1), ("45.70000076293945", 44.70000076293945), ("1e2", 99.0), ("-5", -6.0)],
)
def test_parse_minus_one_subtracts_decimally(text: str, value: float) -> None:
    assert parse_minus_one(text) == value


@pytest.mark.parametrize("text", [None, "", "wide", "nan"])
def test_parse_float_of_no_number_is_nan(text: str | None) -> None:
    assert math.isnan(parse_minus_one(text))
    assert math.isnan(parse_float(text))


def test_parse_of_too_large_number_is_infinite() -> None:
    assert (
        parse_minus_one("1e999")
        == parse_minus_one("inf")
        == parse_center_box(["1e9999999", "0", "1", "1"], (9, 9))[2]
        == math.inf
    )


@pytest.mark.parametrize(("value", "text"), [(3.0, "3"), (0.1, "0.1"), (-2.0, "-2"), (1e300, "1e+300")])
def test_format_float(value: float, text: str) -> None:
    assert format_float(value) == text


@settings(deadline=None)
@given(coordinates)
def test_format_plus_one_round_trips(value: float) -> None:
    assert parse_minus_one(format_plus_one(value)) == value
    assert float(format_float(value)) == value


@pytest.mark.parametrize(
    ("fields", "size", "box"),
    [
        ("0.5 0.5 1 1", (333, 500), (0, 0, 500, 333)),
        ("0.5 0.5 1 1", (7, 3), (0, 0, 3, 7)),
        ("0.25 0.5 0.5 0.2", (10, 20), (0, 4, 10, 6)),
        ("0 0 0.2 0.2", (10, 10), (-1, -1, 1, 1)),
    ],
)
def test_parse_center_box(fields: str, size: tuple[int, int], box: tuple[float, ...]) -> None:
    assert parse_center_box(fields.split(), size) == box


def test_parse_center_box_is_close_to_float_arithmetic() -> None:
    x1, y1, x2, y2 = parse_center_box(["0.516", "0.3", "0.21", "0.4"], (375, 500))
    assert (x1, x2) == pytest.approx(((0.516 - 0.105) * 500, (0.516 + 0.105) * 500), rel=1e-14)
    assert (y1, y2) == pytest.approx((0.1 * 375, 0.5 * 375), rel=1e-14)


def test_parse_polygon_box() -> None:
    assert parse_polygon_box(["0.1", "0.9", "0.5", "0.2", "0.3", "1"], (100, 10)) == (1, 20, 5, 100)
    assert all(map(math.isnan, parse_polygon_box(["0.1", "0.9", "x", "0.2", "0.3", "1"], (100, 10))))


@pytest.mark.parametrize(
    ("box", "size", "texts"),
    [
        ((0, 0, 640, 480), (480, 640), "0.5 0.5 1 1"),
        ((64, 48, 320, 240), (480, 640), "0.3 0.3 0.4 0.4"),
    ],
)
def test_format_center_box_is_short(box: tuple[float, ...], size: tuple[int, int], texts: str) -> None:
    assert " ".join(format_center_box(box, size)) == texts


@settings(deadline=None)
@given(st.tuples(coordinates, coordinates, coordinates, coordinates), st.tuples(sides, sides))
def test_format_center_box_round_trips(box: tuple[float, float, float, float], size: tuple[int, int]) -> None:
    assert parse_center_box(format_center_box(box, size), size) == box
