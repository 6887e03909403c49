from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.data.annotations import Annotations
from detect.data.inspect.gallery import MAX_SIDE, GalleryRenderer, sample_images
from detect.data.inspect.gallery_page import write_gallery_page, write_image_grids
from detect.data.inspect.inspector import scan_folder
from detect.data.inspect.valid_annotations import valid_annotations
from detect.data.loading.transforms import Augment
from detect.ops.preprocess import Preprocess
from tests.data.inspect.example_datasets import HEIGHT, WIDTH, example_boxes, write_voc


@pytest.fixture
def voc_annotations(tmp_path: Path) -> Annotations:
    return valid_annotations(scan_folder(write_voc(tmp_path / "set"), None))


def make_renderer(images: Annotations, flip: float = 0.0) -> GalleryRenderer:
    return GalleryRenderer(images, Preprocess(min_size=80), Augment(flip=flip), seed=0)


@pytest.mark.parametrize(
    ("number", "labels", "expected"), [(1, [], 1), (5, [], 5), (99, [], 12), (99, [1], 12), (99, [3], 1)]
)
def test_sample_images_covers_the_classes(tmp_path: Path, number: int, labels: list[int], expected: int) -> None:
    root = write_voc(tmp_path / "set")
    xml = root / "Annotations/p05.xml"
    xml.write_text(xml.read_text().replace(">zebra<", ">zoo<", 1))
    found = valid_annotations(scan_folder(root, None))
    chosen = sample_images(found, number, labels)
    assert len(chosen) == expected
    assert chosen == sorted(set(chosen)) == sample_images(found, number, labels)
    assert any(3 in found[index].labels for index in chosen)


def test_views_before_and_after_augmentation_have_the_boxes(voc_annotations: Annotations) -> None:
    first = next(i for i in range(len(voc_annotations)) if voc_annotations.file(i).endswith("p00.jpg"))
    shown = make_renderer(voc_annotations, flip=1.0).render(first, 2)
    own = np.asarray([box for _, box in example_boxes(0)], np.float64)
    assert shown.before.rgb.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(shown.before.boxes, own)
    assert [view.rgb.shape for view in shown.after] == [(80, 100, 3)] * 2
    mirrored = np.stack([WIDTH - own[:, 2], own[:, 1], WIDTH - own[:, 0], own[:, 3]], 1) / 2
    np.testing.assert_allclose(shown.after[0].boxes, mirrored, atol=1e-4)


def test_large_image_is_shrunk_with_its_boxes(voc_annotations: Annotations) -> None:
    view = (
        GalleryRenderer(voc_annotations, Preprocess(min_size=800, max_size=1000), Augment(0.0), seed=0)
        .render(0, 1)
        .after[0]
    )
    assert max(view.rgb.shape) == MAX_SIDE
    np.testing.assert_allclose(view.boxes[1, 2:], (view.rgb.shape[1], view.rgb.shape[0]), atol=0.01)


class _ScriptParser(HTMLParser):
    """The contents of the page's <script> elements, as a browser cuts them."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self._inside = tag == "script"

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.contents.append(data)


def test_page_contains_everything_and_escapes_names(tmp_path: Path, voc_annotations: Annotations) -> None:
    evil = '</script><script>alert("x")</script><!--'
    page = tmp_path / "index.html"
    write_gallery_page(page, evil, evil, [make_renderer(voc_annotations).render(0, 1)], [evil, "zebra"])
    text = page.read_text()
    parser = _ScriptParser()
    parser.feed(text)
    content = json.loads(parser.contents[0])
    assert len(parser.contents) == 2
    assert content["title"] == content["note"] == content["classes"][0]["name"] == evil
    assert [len(view["objects"]) for view in content["images"][0]["views"]] == [4, 4]
    assert re.search(r"(src|href)=[\"']?(http|//)", text) is None


@pytest.mark.parametrize(("number", "sheets"), [(1, 1), (12, 1)])
def test_image_grids_are_written(tmp_path: Path, voc_annotations: Annotations, number: int, sheets: int) -> None:
    shown = [make_renderer(voc_annotations).render(index, 0) for index in range(number)]
    written = write_image_grids(tmp_path, shown, voc_annotations.classes)
    assert len(written) == sheets
    assert all(cv2.imread(str(sheet)) is not None for sheet in written)
