"""The page itself: one HTML file with its style, script and pictures inside.

Names of classes and files come from anywhere: the templates escape all text, and the page's own policy lets the browser
run no script but the one whose hash it states, and load nothing at all.
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

from detect.evaluation.proposal_recall import BestOverlaps, ProposalScores
from detect.report import charts, views
from detect.report.error_gallery import Gallery
from detect.report.results import Findings
from detect.report.run_facts import RunFacts


@dataclass(frozen=True)
class ProposalFindings:
    """best: at ``COUNTS``; images: how many of how many were looked at."""

    best: BestOverlaps
    scores: ProposalScores
    images: int
    of: int


@dataclass(frozen=True)
class Page:
    """Everything on it. summary: rows of a name and what it is; without: why there are no findings, "" where there are;
    unreadable: a line for each image that could not be read; batches: data URIs; made: by what, and when.
    """

    title: str
    summary: Sequence[tuple[str, str]]
    facts: RunFacts
    findings: Findings | None
    without: str
    proposals: ProposalFindings | None
    gallery: Gallery | None
    unreadable: Sequence[str]
    batches: Sequence[str]
    made: str


def render(page: Page) -> str:
    """The HTML."""
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
    environment.globals.update(charts=charts, views=views)
    return environment


def percent(fraction: float | None) -> str:
    """0.5781 -> 57.8; a dash for None."""
    return "\N{EN DASH}" if fraction is None else f"{100 * fraction:.1f}"


def points(fraction: float | None) -> str:
    """0.0512 -> +5.1; a dash for None."""
    return "\N{EN DASH}" if fraction is None else f"{round(100 * fraction, 1) + 0.0:+.1f}"


def count(number: int) -> str:
    """12345 -> 12,345."""
    return f"{number:,}"


def _package_text(name: str) -> str:
    return (resources.files("detect.report") / "templates" / name).read_text(encoding="utf-8")
