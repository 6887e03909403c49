from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from detect.evaluation.analysis.label_suspects import rank_label_suspects
from detect.report.label_page import MAX_CARDS, write_label_page
from tests.evaluation.example_data import data_set
from tests.report.example_pages import parse_page, with_image_files

SQUARE = (0.0, 0.0, 100.0, 100.0)
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
CONTRADICTED = ([(SQUARE, 1, "")], [(SQUARE, 2, 0.9)])  # labelled 1, the model is sure of 2


@pytest.mark.parametrize("count", [0, 1, MAX_CARDS + 1])
def test_page_shows_the_first_suspects(count: int, tmp_path: Path) -> None:
    annotations, predictions = data_set([CONTRADICTED] * count)
    annotations = with_image_files(annotations, tmp_path)
    suspects = rank_label_suspects(annotations, predictions)
    shown = write_label_page(tmp_path / "page.html", "Labels", [], suspects, annotations)
    page = parse_page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert (len(suspects), shown) == (count, min(count, MAX_CARDS))
    assert [tag for tag, _ in page.tags].count("li") == shown
    assert ("The model agrees with all labels." in page.text) == (count == 0)


def test_an_image_that_cannot_be_read_is_not_shown(tmp_path: Path) -> None:
    annotations, predictions = data_set([CONTRADICTED] * 2)
    annotations = with_image_files(annotations, tmp_path)
    Path(annotations[0].file).unlink()
    suspects = rank_label_suspects(annotations, predictions)
    assert write_label_page(tmp_path / "page.html", "Labels", [], suspects, annotations) == len(suspects) - 1 == 1


def test_page_escapes_names(tmp_path: Path) -> None:
    annotations, predictions = data_set([CONTRADICTED])
    folder = tmp_path / EVIL.replace("/", "")
    folder.mkdir()
    annotations = replace(with_image_files(annotations, folder), classes=(EVIL, "a\x22b", "zebra"))
    suspects = rank_label_suspects(annotations, predictions)
    assert write_label_page(tmp_path / "page.html", EVIL, [EVIL], suspects, annotations) == 1
    page = parse_page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "script" not in [tag for tag, _ in page.tags]
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.attributes("src", "href"))
    assert page.text.count(EVIL) >= 4  # twice as title, in the note, in the card's title
    assert annotations[0].file in page.text
