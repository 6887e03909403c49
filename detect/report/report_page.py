"""Rendering of the page: one HTML file that contains its style, script and images.

Names of classes and files are untrusted: the templates escape all text, and the content security policy of the page
lets the browser run only the script whose hash it states, and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from detect.evaluation.analysis.bootstrap import MIN_IMAGES
from detect.evaluation.proposal_recall import BestIoUs, ProposalScores
from detect.report import charts, views
from detect.report.error_gallery import ErrorGallery
from detect.report.results import EvaluationResults
from detect.report.run_facts import RunFacts


@dataclass(frozen=True)
class ProposalResults:
    """The results for proposals. best: with ``PROPOSAL_COUNTS`` as limits; num_measured of num_images were measured."""

    best: BestIoUs
    scores: ProposalScores
    num_measured: int
    num_images: int


@dataclass(frozen=True)
class ReportPage:
    """The content of the page.

    summary: rows of a name and a value; missing_reason: why there are no results, "" where there are; unreadable: a
    line for each image that could not be read; batches: data URIs; generated_by: the version and the time; other_sizes:
    a line for each image that is not of the size in its labels.
    """

    title: str
    summary: Sequence[tuple[str, str]]
    facts: RunFacts
    results: EvaluationResults | None
    missing_reason: str
    proposals: ProposalResults | None
    gallery: ErrorGallery | None
    unreadable: Sequence[str]
    batches: Sequence[str]
    generated_by: str
    other_sizes: Sequence[str] = ()


def render(page: ReportPage) -> str:
    """Return the HTML of the page."""
    style, script = (_package_text(name) for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        _environment()
        .get_template("report.html")
        .render(page=page, style=Markup(style), script=Markup(script), policy=policy)
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("detect.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Any] = {"percent": percent, "points": points, "count": count}
    environment.filters.update(filters)
    environment.globals.update(charts=charts, views=views, min_images=MIN_IMAGES)
    return environment


def percent(fraction: float | None) -> str:
    """Format a fraction in percent: 0.5781 -> 57.8; a dash for None."""
    return "\N{EN DASH}" if fraction is None else f"{100 * fraction:.1f}"


def points(fraction: float | None) -> str:
    """Format a difference of fractions in points: 0.0512 -> +5.1; a dash for None."""
    return "\N{EN DASH}" if fraction is None else f"{round(100 * fraction, 1) + 0.0:+.1f}"


def count(integer: int) -> str:
    """Format an integer with thousands separators: 12345 -> 12,345."""
    return f"{integer:,}"


def _package_text(name: str) -> str:
    return (resources.files("detect.report") / "templates" / name).read_text(encoding="utf-8")
