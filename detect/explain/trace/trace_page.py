"""The trace of one image as an HTML page that needs nothing else.

Names of files and classes come from anywhere: the template escapes all text, and the page's policy runs no script.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from detect.draw import encode_jpeg

_LONGEST = 1400  # pixels of two pictures side by side


@dataclass(frozen=True)
class DetectionEntry:
    """A detection on the page: its story, its picture (h, w, 3) uint8, and of a search its picture and story."""

    record: dict[str, Any]
    figure: np.ndarray
    search_figure: np.ndarray | None = None
    search: dict[str, Any] | None = None


@dataclass(frozen=True)
class TracePage:
    """file: of the image; facts: rows of a name and what it is; left_out: detections without a place here."""

    file: str
    facts: Sequence[tuple[str, str]]
    classes: Sequence[str]
    detections: Sequence[DetectionEntry]
    num_omitted: int


def render_trace_page(page: TracePage) -> str:
    """The HTML."""
    environment = Environment(
        loader=PackageLoader("detect.explain.trace", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(numbers=format_numbers, address=data_uri)
    return environment.get_template("trace.html").render(page=page)


def format_numbers(values: Sequence[float]) -> str:
    """[1.25, -3] -> 1.25, -3.00."""
    return ", ".join(f"{value:.2f}" for value in values)


def data_uri(picture: np.ndarray) -> str:
    """A data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture, _LONGEST)).decode()
