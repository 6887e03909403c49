"""The images that an annotation file names: a file of another suffix is never taken for a missing one."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from detect.data.formats.annotation_files import NamedImages
from detect.data.formats.image_index import FileIndex
from detect.data.formats.report import Report


@pytest.mark.parametrize(
    ("files", "names", "matches", "kinds"),
    [
        ((), (), [], []),
        (("images/a.jpg",), ("a.jpg",), ["images/a.jpg"], []),
        (("images/a.png", "images/b.png"), ("a.jpg", "b.jpg"), ["images/a.png", "images/b.png"], []),
        (("images/a.jpg", "images/b.JPG"), ("a.jpg", "b.jpg"), ["images/a.jpg", "images/b.JPG"], []),
        (("images/a.jpg", "small/b.png"), ("a.jpg", "b.jpg"), ["images/a.jpg", None], ["missing-image"]),
        (("images/a.jpg", "small/b.png"), ("b.jpg", "a.jpg"), [None, "images/a.jpg"], ["missing-image"]),
        (("images/a.jpg", "masks/b.png"), ("b.jpg", "a.jpg"), [None, "images/a.jpg"], ["missing-image"]),
        (("x/a.jpg", "y/a.jpg"), ("a.jpg",), ["x/a.jpg"], []),
    ],
)
def test_a_missing_image_is_reported_whatever_has_its_stem(
    tmp_path: Path, files: tuple[str, ...], names: tuple[str, ...], matches: list[str | None], kinds: list[str]
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"the same")
    report = Report()
    images = NamedImages([tmp_path / "images"], FileIndex(tmp_path), report)
    found = [images.find(PurePosixPath(name), "an image") for name in names]
    for path, match in zip(found, matches, strict=True):
        assert match is None or path == tmp_path / match
    assert [finding.kind for finding in report.findings] == kinds


def test_copies_of_an_image_are_one_image_and_others_are_ambiguous(tmp_path: Path) -> None:
    for folder, content in (("x", b"1"), ("y", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(content)
    report = Report()
    NamedImages([tmp_path / "images"], FileIndex(tmp_path), report).find(PurePosixPath("a.jpg"), "an image")
    assert [finding.kind for finding in report.findings] == ["ambiguous-image"]
