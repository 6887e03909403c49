"""tools/voc_subset.py: lists of some images, with links to their files; another subset in the folder is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.errors import UserError
from tools.voc_subset import read_list, write_subset


def voc_folder(folder: Path) -> Path:
    for name in ("Annotations", "JPEGImages"):
        (folder / name).mkdir(parents=True)
        (folder / name / "000001.txt").write_text(str(folder))
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("".join(f"{index:06}\n" for index in range(11)))
    (lists / "val.txt").write_text("")
    return folder


def test_read_list_of_a_folder(tmp_path: Path) -> None:
    root = voc_folder(tmp_path / "voc")
    assert read_list(root, "val") == []
    assert read_list(root, "train")[:2] == ["000000", "000001"]
    with pytest.raises(UserError, match=r"test\.txt: expected a list of a folder in VOC's layout, found nothing"):
        read_list(root, "test")


@pytest.mark.parametrize("images", [[], ["000000"], ["000007", "000003"]])
def test_subset_has_its_lists_and_the_files_of_the_whole(images: list[str], tmp_path: Path) -> None:
    root = voc_folder(tmp_path / "voc")
    for _ in range(2):
        subset = write_subset(root, tmp_path / "subset", {"train": images})
    assert read_list(subset, "train") == images
    assert (subset / "Annotations" / "000001.txt").read_text() == str(root)


@pytest.mark.parametrize(
    ("from_other_root", "images", "message"),
    [
        (True, ["000000"], "Annotations: expected a link to .*other/Annotations, found one to .*voc/Annotations; give"),
        (False, ["000001"], "train.txt: expected 1 image of .*voc, found others; give another --out"),
        (False, [], "train.txt: expected 0 images of .*voc, found others; give another --out"),
    ],
)
def test_write_subset_refuses_a_folder_with_another_one(
    from_other_root: bool, images: list[str], message: str, tmp_path: Path
) -> None:
    roots = voc_folder(tmp_path / "voc"), voc_folder(tmp_path / "other")
    write_subset(roots[0], tmp_path / "subset", {"train": ["000000"]})
    with pytest.raises(UserError, match=message):
        write_subset(roots[from_other_root], tmp_path / "subset", {"train": images})
    assert read_list(tmp_path / "subset", "train") == ["000000"]
