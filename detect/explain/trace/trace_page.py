"""Renders the trace of one image as an HTML page that needs no other file.

Names of files and classes are untrusted: the template escapes all text, and the page's policy runs no script.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from detect.draw import encode_jpeg

_MAX_SIDE = 1400  # pixels of two images side by side


@dataclass(frozen=True)
class DetectionEntry:
    """A detection on the page: its record and its figure (h, w, 3) uint8, and for a searched proposal those of the
    search.
    """

    record: dict[str, Any]
    figure: np.ndarray
    search_figure: np.ndarray | None = None
    search: dict[str, Any] | None = None


@dataclass(frozen=True)
class TracePage:
    """The content of the page.

    file: name of the image; facts: pairs of a label and a text; num_omitted: detections that only trace.json lists.
    """

    file: str
    facts: Sequence[tuple[str, str]]
    classes: Sequence[str]
    detections: Sequence[DetectionEntry]
    num_omitted: int


def render_trace_page(page: TracePage) -> str:
    """Return the HTML text of the page."""
    environment = Environment(
        loader=PackageLoader("detect.explain.trace", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(format_numbers=format_numbers, data_uri=data_uri)
    return environment.get_template("trace.html").render(page=page)


def format_numbers(values: Sequence[float]) -> str:
    """Format numbers with two decimals: [1.25, -3] -> "1.25, -3.00"."""
    return ", ".join(f"{value:.2f}" for value in values)


def data_uri(figure: np.ndarray) -> str:
    """Return a figure (h, w, 3) uint8 as the data URI of a JPEG file."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(figure, _MAX_SIDE)).decode()
