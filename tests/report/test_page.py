from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detect.evaluation.score import Metric, evaluate
from detect.report.report_page import count, percent, points, render
from tests.evaluation.example_data import Found, Truth, data_set, random_scored_data_set
from tests.report.example_pages import page_with_model, page_without_model, parse_page, with_image_files

SQUARE, FAR = (0.0, 0.0, 100.0, 100.0), (150.0, 150.0, 250.0, 250.0)
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def test_render_page_without_model(tmp_path: Path) -> None:
    page = parse_page(render(page_without_model(tmp_path)))
    assert {"training", "run"} < set(page.ids())
    assert not {"numbers", "gallery", "proposals"} & set(page.ids())


@pytest.mark.parametrize("metric", ["voc07", "coco"])
@pytest.mark.parametrize(
    "images",
    [
        [],
        [([], [])],
        [([(SQUARE, 1, "")], [])],
        [([], [(SQUARE, 1, 0.9)])],
        [([(SQUARE, 1, "difficult")], [(SQUARE, 1, 0.9)])],
        [([(SQUARE, 1, ""), (FAR, 2, "crowd")], [(SQUARE, 1, 0.9), (FAR, 1, 0.8)]), ([], [])],
    ],
    ids=["no images", "nothing", "no detections", "no objects", "difficult", "some"],
)
def test_render_with_any_data(
    images: Sequence[tuple[list[Truth], list[Found]]], metric: Metric, tmp_path: Path
) -> None:
    annotations, predictions = data_set(images)
    page = parse_page(render(page_with_model(tmp_path, annotations, predictions, metric)))
    assert {"numbers", "classes", "errors", "ranges", "gallery", "proposals", "training", "run"} < set(page.ids())
    assert "nan" not in re.findall(r"[a-z]+", page.text.lower())
    assert percent(evaluate(annotations, predictions, metric).primary) in page.text


def test_render_metrics_equal_the_scorer(tmp_path: Path) -> None:
    annotations, predictions = random_scored_data_set(np.random.default_rng(1), 0.25)
    page = parse_page(render(page_with_model(tmp_path, annotations, predictions, "coco")))
    score = evaluate(annotations, predictions, "coco")
    cells = [percent(value) for value in score.metrics.values()]
    assert re.search(r"\s*".join(map(re.escape, cells)), page.text)
    for name, value in score.per_class.items():
        assert re.search(rf"{name}\s*{re.escape(percent(value))}", page.text)


@pytest.mark.parametrize(("num_images", "is_said"), [(29, True), (30, False)])
def test_intervals_of_few_images_are_said_to_be_too_narrow(num_images: int, is_said: bool, tmp_path: Path) -> None:
    annotations, predictions = data_set([([(SQUARE, 1, "")], [(SQUARE, 1, 0.9)])] * num_images)
    html = render(page_with_model(tmp_path, annotations, predictions, "voc07"))
    assert ("interval in italics is of fewer than 30 images" in html) is is_said
    assert ("too narrow: few images" in html) is is_said
    assert ('class="interval few"' in html) is is_said


def test_render_escapes_names(tmp_path: Path) -> None:
    annotations, predictions = data_set([([(SQUARE, 1, ""), (FAR, 2, "")], [(SQUARE, 2, 0.9), (SQUARE, 1, 0.8)])])
    annotations = replace(with_image_files(annotations, tmp_path), classes=(EVIL, "a\x22b", "zebra"))
    page = replace(page_with_model(tmp_path / EVIL, annotations, predictions, "voc12"), title=EVIL, unreadable=[EVIL])
    page = replace(
        page, facts=replace(page.facts, settings=EVIL, log=(EVIL,), curves={EVIL: {"step": [1.0], EVIL: [1.0]}})
    )
    found = parse_page(render(page))
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attrs in found.tags for name in attrs)
    assert found.text.count(EVIL) >= 10
    assert page.gallery is not None
    assert len(page.gallery.cards) >= 2


def test_render_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    annotations, predictions = random_scored_data_set(np.random.default_rng(2), 0.25)
    html = render(page_with_model(tmp_path, with_image_files(annotations, tmp_path), predictions, "voc07"))
    page = parse_page(html)
    addresses = page.attributes("src", "href", "xlink:href")
    assert addresses
    assert all(address.startswith(("#", "data:image/jpeg;base64,")) for address in addresses)
    assert {address[1:] for address in addresses if address.startswith("#")} <= set(page.ids())
    assert len(set(page.ids())) == len(page.ids())
    assert "url(" not in html
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    (policy,) = [attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_gallery_images_stay_within_the_budget(tmp_path: Path) -> None:
    annotations, predictions = random_scored_data_set(np.random.default_rng(3), 0.25)
    annotations = with_image_files(annotations, tmp_path)
    sizes = {}
    for budget in (0, 2000, 10**6):
        gallery = page_with_model(tmp_path, annotations, predictions, "voc07", budget).gallery
        assert gallery is not None
        sizes[budget] = sum(len(image.data_uri) for image in gallery.images)
        assert sizes[budget] <= budget
        assert {card.image for card in gallery.cards} == set(range(len(gallery.images)))
    assert 0 == sizes[0] < sizes[2000] < sizes[10**6]


@pytest.mark.slow
def test_render_with_eighty_classes(tmp_path: Path) -> None:
    annotations, predictions = random_scored_data_set(np.random.default_rng(4), 0.25)
    names = tuple(f"class {n}" for n in range(80))
    annotations = replace(annotations, classes=names, category_ids=np.arange(1, 81))
    page = parse_page(render(page_with_model(tmp_path, annotations, predictions, "coco")))
    assert "56 classes with fewer confusions are left out" in page.text
    assert all(name in page.text for name in names)


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.0, "0.0"), (0.5781, "57.8"), (1.0, "100.0")])  # noqa: RUF001
def test_percent(value: float | None, shown: str) -> None:
    assert percent(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (-1e-9, "+0.0"), (0.0512, "+5.1"), (-0.01, "-1.0")])  # noqa: RUF001
def test_points(value: float | None, shown: str) -> None:
    assert points(value) == shown


def test_count() -> None:
    assert count(1234567) == "1,234,567"
