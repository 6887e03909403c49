"""tools/compare_generations.py: files of another comparison are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.errors import UserError
from tools.compare_generations import make_subset


def write_voc_lists(folder: Path) -> Path:
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name in ("train", "val"):
        (lists / f"{name}.txt").write_text("".join(f"{index:06}\n" for index in range(11)))
    return folder


@pytest.mark.parametrize(
    ("every", "from_other_root", "message"),
    [
        (5, True, "Annotations: expected a link to .*other/Annotations, found one to .*voc/Annotations; give another"),
        (3, False, "train.txt: expected one image of 3, found other images; give another --out"),
    ],
)
def test_make_subset_refuses_a_folder_with_other_images(
    every: int, from_other_root: bool, message: str, tmp_path: Path
) -> None:
    first, second = write_voc_lists(tmp_path / "voc"), write_voc_lists(tmp_path / "other")
    for _ in range(2):
        subset = make_subset(first, tmp_path / "subset", 5)
    assert (subset / "ImageSets" / "Main" / "val.txt").read_text() == "000000\n000005\n000010\n"
    with pytest.raises(UserError, match=message):
        make_subset(second if from_other_root else first, tmp_path / "subset", every)
