"""Files of proposals made: the same whatever happens on the way, nothing searched twice, nothing lost."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.errors import UserError
from detect.proposals.files import content_key, read_proposals
from detect.proposals.search_dataset import SearchSettings
from detect.proposals.search_journal import SearchResults
from tests.proposals.fakes import NAMES, FakeSearch, Maker, photograph


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_file_holds_the_boxes_of_each_image_in_order(count: int, make: Maker, tmp_path: Path) -> None:
    images = photograph(tmp_path / "photos", NAMES[:count])
    made, searched = make(images, tmp_path / "new" / "p.npz", SearchSettings("quality", 3, resize_to=500))
    found = read_proposals(tmp_path / "new" / "p.npz")
    assert (made.images, made.before, made.unreadable, searched) == (count, 0, (), count)
    assert found.files == tuple(NAMES[:count])
    assert found.contents.tolist() == [content_key(image.read_bytes()) for image in images]
    assert made.boxes == len(found.boxes)
    assert found.settings == {
        "algorithm": "selective_search",
        "version": 1,
        "mode": "quality",
        "seed": 3,
        "min_side": 20,
        "resize_to": 500,
    }
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["p.npz"]


@pytest.mark.parametrize("resize_to", [None, 500])
def test_any_number_of_workers_gives_the_same_bytes(resize_to: int | None, make: Maker, tmp_path: Path) -> None:
    images = photograph(tmp_path / "photos", NAMES)
    for workers in (1, 2, 7):
        make(images, tmp_path / f"{workers}.npz", SearchSettings(resize_to=resize_to), workers)
    one, two, seven = ((tmp_path / f"{workers}.npz").read_bytes() for workers in (1, 2, 7))
    assert one == two == seven
    with zipfile.ZipFile(tmp_path / "1.npz") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}  # no clock in the bytes
    assert read_proposals(tmp_path / "1.npz").boxes.dtype == (np.uint16 if resize_to is None else np.float32)


def test_a_data_set_that_grew_costs_only_what_is_new(make: Maker, tmp_path: Path) -> None:
    out = tmp_path / "p.npz"
    images = photograph(tmp_path / "photos", NAMES[:5])
    make(images, out)
    before = out.read_bytes()
    assert make(images, out)[1] == 0
    assert out.read_bytes() == before
    images[0].write_bytes(photograph(tmp_path / "other", ["x.png"])[0].read_bytes())  # changed
    images[1] = images[1].rename(tmp_path / "photos" / "renamed.png")
    images += photograph(tmp_path / "photos" / "new", NAMES[5:7])
    made, searched = make(images, out)
    assert (made.before, searched) == (4, 3)
    make(images, tmp_path / "fresh.npz")
    assert out.read_bytes() == (tmp_path / "fresh.npz").read_bytes()


def test_images_of_equal_bytes_have_an_entry_each(make: Maker, tmp_path: Path) -> None:
    images = photograph(tmp_path, ["a.png"])
    (tmp_path / "b.png").write_bytes(images[0].read_bytes())
    make([*images, tmp_path / "b.png"], tmp_path / "p.npz")
    found = read_proposals(tmp_path / "p.npz")
    assert found.files == ("a.png", "b.png")
    assert np.array_equal(found[0].boxes, found[1].boxes)


def test_what_cannot_be_searched_is_named_and_left_out(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = photograph(tmp_path / "photos", ["a.png", "large.png", "z.png"])
    (tmp_path / "photos" / "text.jpg").write_text("text", encoding="utf-8")
    named = [*images, tmp_path / "photos" / "text.jpg", tmp_path / "photos" / "gone.jpg"]
    call = FakeSearch.__call__

    def refusing(self: FakeSearch, rgb: np.ndarray, *arguments: object, **settings: object) -> object:
        if len(rgb) == 1:
            raise UserError("image: too large")
        return call(self, rgb, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeSearch, "__call__", refusing)
    cv2.imwrite(str(images[1]), np.zeros((1, 40, 3), np.uint8))
    for searched_then in (2, 0):  # the readable ones are kept, the others tried again
        made, searched = make(named, tmp_path / "p.npz")
        assert searched == searched_then
        assert [re.sub(r".*/", "", line)[:22] for line in made.unreadable] == [
            "gone.jpg: cannot be re",
            "large.png: image: too ",
            "text.jpg: expected an ",
        ]
        assert read_proposals(tmp_path / "p.npz").files == ("a.png", "z.png")


OTHERS = [
    (SearchSettings("single"), "mode=single, found fast"),
    (SearchSettings(seed=1), "seed=1, found 0"),
    (SearchSettings(min_side=5), "min_side=5, found 20"),
    (SearchSettings(resize_to=500), "resize_to=500, found None"),
]


@pytest.mark.parametrize(("settings", "words"), OTHERS)
@pytest.mark.parametrize("finished", [False, True])
def test_what_other_settings_made_is_refused_and_left_alone(
    settings: SearchSettings, words: str, finished: bool, make: Maker, tmp_path: Path
) -> None:
    images, out = photograph(tmp_path, NAMES[:2]), tmp_path / "p.npz"
    if finished:
        make(images, out)
    else:
        with pytest.raises(ZeroDivisionError):
            make(images, out, workers=1, stop_before=1)
    left = out if finished else tmp_path / ".p.npz.unfinished"
    before = left.read_bytes()
    with pytest.raises(UserError, match=rf"{re.escape(str(left))}: .*{re.escape(words)}; give another --out"):
        make(images, out, settings)
    assert left.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.npz", b"", "found a file that does not hold them"),
        ("p.npz", b"mine", "found a file that does not hold them"),
        ("p.mat", None, r"ends in \.npz, found \.mat"),
        (".p.npz.unfinished", b"mine\n", "found something else"),
        (".p.npz.unfinished", b"[1]\n", "found something else"),
    ],
)
def test_what_is_something_else_is_refused_and_left_alone(
    name: str, content: bytes | None, words: str, make: Maker, tmp_path: Path
) -> None:
    images = photograph(tmp_path / "photos", NAMES[:1])
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        make(images, tmp_path / (name if name.startswith("p") else "p.npz"))
    assert [file.read_bytes() for file in tmp_path.iterdir() if file.is_file()] == [content] * (content is not None)


def test_images_that_would_be_lost_are_refused(make: Maker, tmp_path: Path) -> None:
    images, out = photograph(tmp_path / "photos", NAMES[:4]), tmp_path / "p.npz"
    make(images[:3], out)
    before = out.read_bytes()
    with pytest.raises(
        UserError, match=r"p\.npz: expected no images but the 2 asked for, found 2 more .* 0\.png first"
    ):
        make(images[2:], out)
    assert out.read_bytes() == before
    assert not (tmp_path / ".p.npz.unfinished").exists()


def test_boxes_of_a_run_stay_on_disk(make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    add = SearchResults.add

    def adding(self: SearchResults, content: int, proposals: object) -> None:
        add(self, content, proposals)  # type: ignore[arg-type]
        kept.append(sum(isinstance(value, np.ndarray) for value in vars(self).values()))

    monkeypatch.setattr(SearchResults, "add", adding)
    make(photograph(tmp_path / "photos", NAMES), tmp_path / "p.npz")
    assert kept == [0] * len(NAMES)
