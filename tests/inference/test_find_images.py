"""Tests the search for images in files, folders and globs."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.errors import UserError
from detect.inference.find_images import find_images

FILES = ("b.jpg", "a.jpg", "notes.txt", "in/c.jpg", "in/deep/d.png", "in/.hidden/e.jpg", "in-between/f.jpg")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images and two links that lead back up."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "self").symlink_to(tmp_path)
    (tmp_path / "in" / "up").symlink_to("..")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], ""),
        (["."], "a.jpg b.jpg in/.hidden/e.jpg in/c.jpg in/deep/d.png in-between/f.jpg"),
        (["b.jpg", "*.jpg"], "b.jpg a.jpg"),
        (["**.jpg"], "a.jpg b.jpg"),
        (["*/*.jpg"], "in-between/f.jpg in/c.jpg self/a.jpg self/b.jpg"),
        (["**/*.jpg"], "a.jpg b.jpg in-between/f.jpg in/c.jpg"),
        (["in/**/**.jpg"], "in/c.jpg"),
        (["in/**"], "in/c.jpg in/deep/d.png"),
        (["in/.hidden/**/*.jpg"], "in/.hidden/e.jpg"),
        (["in/../**/d.*"], "in/../in/deep/d.png"),
        (["**/deep/**/*.png"], "in/deep/d.png"),
    ],
)
def test_find_images_returns_each_image_once_in_order(paths: list[str], expected: str, folder: Path) -> None:
    assert [str(image) for image in find_images(paths)] == expected.split()
    absolute = [str(image.relative_to(folder)) for image in find_images([f"{folder}/{path}" for path in paths])]
    assert absolute == expected.split()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("path", ["nothing.jpg", "**/*.bmp", "*.txt", "in/deep/../*.png"])
def test_find_images_without_match_raises(path: str) -> None:
    with pytest.raises(UserError, match="expected a"):
        find_images([path])
