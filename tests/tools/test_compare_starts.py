"""tools/compare_starts.py: subsets are nested and complete, and the table's numbers are those of a hand computation."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.errors import UserError
from tools.compare_starts import IMAGENET, PACKAGED, Outcome, format_outcomes, shuffled_subset


def make_voc_folder(root: Path, images: int) -> Path:
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    lists = root / "ImageSets" / "Main"
    (lists / "train.txt").write_text("".join(f"{number:03}\n" for number in range(images)))
    (lists / "val.txt").write_text("900\n")
    return root


@pytest.mark.parametrize("images", [0, 3])
def test_more_images_than_there_are_is_refused(tmp_path: Path, images: int) -> None:
    root = make_voc_folder(tmp_path / "voc", images)
    with pytest.raises(UserError, match=f"--images: expected at most {images}, .* found {images + 1}"):
        shuffled_subset(root, tmp_path / "out", images + 1, seed=0)


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.txt: expected a list of a folder in VOC's layout"):
        shuffled_subset(tmp_path, tmp_path / "out", 1, seed=0)


def test_larger_subsets_of_a_seed_hold_the_smaller_ones(tmp_path: Path) -> None:
    root = make_voc_folder(tmp_path / "voc", 40)

    def names(count: int, seed: int) -> set[str]:
        folder = shuffled_subset(root, tmp_path / f"{count}-{seed}", count, seed)
        assert (folder / "ImageSets/Main/val.txt").read_text() == "900\n"
        assert (folder / "JPEGImages").resolve() == root / "JPEGImages"
        return set((folder / "ImageSets/Main/train.txt").read_text().split())

    assert len(names(5, 0)) == 5
    assert names(5, 0) < names(20, 0)
    assert len(names(40, 0)) == 40
    assert names(20, 0) != names(20, 1)


def test_table_has_means_deviations_and_the_gain_over_imagenet() -> None:
    outcomes = {
        PACKAGED.name: [Outcome(0.8, 2.0), Outcome(0.9, 4.0)],
        IMAGENET.name: [Outcome(0.5, 5.0), Outcome(0.5, 5.0)],
    }
    text = format_outcomes([("20", outcomes)])
    assert "| 20 | packaged detector | 0.800, 0.900 | 0.850 | 0.071 | +0.350 (-0.285 to +0.985) | 3.0 |" in text
    assert "| 20 | ImageNet weights | 0.500, 0.500 | 0.500 | 0.000 | - | 5.0 |" in text


def test_table_of_one_seed_has_no_deviation_and_an_unfinished_start_no_row() -> None:
    text = format_outcomes([("all", {PACKAGED.name: [Outcome(0.8, 2.0)], IMAGENET.name: []})])
    assert "| all | packaged detector | 0.800 | 0.800 | - | - | 2.0 |" in text
    assert "ImageNet weights" not in text.splitlines()[-1]
