"""tools/voc_lists.py: which photos are in each list, and lists of other photos are not overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from detect.errors import UserError
from tools.voc_lists import main, make_lists


@pytest.mark.parametrize(
    ("train", "val", "with_masks", "heldout", "choose", "final"),
    [
        ("", "", "", "", "", ""),
        ("xy", "abcdefgh", "", "af", "ch", "bcdeghxy"),
        ("xy", "abcdefgh", "cx", "acf", "h", "bdeghxy"),  # x is of train: masks count in val alone
    ],
)
def test_photos_of_each_list(train: str, val: str, with_masks: str, heldout: str, choose: str, final: str) -> None:
    lists = make_lists(list(train), list(val), list(with_masks))
    assert lists == {"heldout": list(heldout), "choose": list(choose), "final": list(final)}


def test_a_list_of_other_photos_is_not_overwritten(tmp_path: Path) -> None:
    for name, stems in (("Main/train", "x"), ("Main/val", "abc"), ("Segmentation/val", "b")):
        file = tmp_path / "ImageSets" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(stems))
    assert CliRunner().invoke(main, [str(tmp_path)]).exit_code == 0
    assert (tmp_path / "ImageSets/Main/heldout.txt").read_text() == "a\nb\n"
    assert CliRunner().invoke(main, [str(tmp_path)]).exit_code == 0  # the same photos again
    choose = tmp_path / "ImageSets/Main/choose.txt"
    choose.write_text("z\n")
    outcome = CliRunner().invoke(main, [str(tmp_path)])
    assert isinstance(outcome.exception, UserError)
    assert choose.read_text() == "z\n"
