"""Proposal files of a data set: same bytes for any workers, no image searched twice, none lost."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.errors import UserError
from detect.proposals.files import content_hash, read_proposals
from detect.proposals.search_journal import ProposalJournal
from detect.proposals.selective_search.settings import SearchSettings
from tests.proposals.fake_search import IMAGE_NAMES, FakeSearch, MakeProposals, write_random_images


@pytest.mark.parametrize("count", [0, 1, 9])
def test_make_proposals_writes_the_boxes_of_each_image_in_order(
    count: int, make: MakeProposals, tmp_path: Path
) -> None:
    images = write_random_images(tmp_path / "images", IMAGE_NAMES[:count])
    summary, searched = make(images, tmp_path / "new" / "p.npz", SearchSettings("quality", 3, resize_to=500))
    proposals = read_proposals(tmp_path / "new" / "p.npz")
    assert (summary.num_images, summary.num_reused, summary.unreadable, searched) == (count, 0, (), count)
    assert proposals.files == tuple(IMAGE_NAMES[:count])
    assert proposals.content_hashes.tolist() == [content_hash(image.read_bytes()) for image in images]
    assert summary.num_boxes == len(proposals.boxes)
    assert proposals.settings == {
        "algorithm": "selective_search",
        "version": 1,
        "mode": "quality",
        "seed": 3,
        "min_side": 20,
        "resize_to": 500,
    }
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["p.npz"]


@pytest.mark.parametrize("resize_to", [None, 500])
def test_make_proposals_with_any_number_of_workers_writes_the_same_bytes(
    resize_to: int | None, make: MakeProposals, tmp_path: Path
) -> None:
    images = write_random_images(tmp_path / "images", IMAGE_NAMES)
    for workers in (1, 2, 7):
        make(images, tmp_path / f"{workers}.npz", SearchSettings(resize_to=resize_to), workers)
    first, second, third = ((tmp_path / f"{workers}.npz").read_bytes() for workers in (1, 2, 7))
    assert first == second == third
    with zipfile.ZipFile(tmp_path / "1.npz") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}  # no clock in the bytes
    assert read_proposals(tmp_path / "1.npz").boxes.dtype == (np.uint16 if resize_to is None else np.float32)


def test_make_proposals_of_a_grown_data_set_searches_only_new_images(make: MakeProposals, tmp_path: Path) -> None:
    out = tmp_path / "p.npz"
    images = write_random_images(tmp_path / "images", IMAGE_NAMES[:5])
    make(images, out)
    content_before = out.read_bytes()
    assert make(images, out)[1] == 0
    assert out.read_bytes() == content_before
    images[0].write_bytes(write_random_images(tmp_path / "other", ["x.png"])[0].read_bytes())  # changed
    images[1] = images[1].rename(tmp_path / "images" / "renamed.png")
    images += write_random_images(tmp_path / "images" / "new", IMAGE_NAMES[5:7])
    summary, searched = make(images, out)
    assert (summary.num_reused, searched) == (4, 3)
    make(images, tmp_path / "fresh.npz")
    assert out.read_bytes() == (tmp_path / "fresh.npz").read_bytes()


def test_make_proposals_of_equal_images_writes_an_entry_for_each(make: MakeProposals, tmp_path: Path) -> None:
    images = write_random_images(tmp_path, ["a.png"])
    (tmp_path / "b.png").write_bytes(images[0].read_bytes())
    make([*images, tmp_path / "b.png"], tmp_path / "p.npz")
    proposals = read_proposals(tmp_path / "p.npz")
    assert proposals.files == ("a.png", "b.png")
    assert np.array_equal(proposals[0].boxes, proposals[1].boxes)


def test_make_proposals_skips_and_reports_unreadable_images(
    make: MakeProposals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_random_images(tmp_path / "images", ["a.png", "large.png", "z.png"])
    (tmp_path / "images" / "text.jpg").write_text("text", encoding="utf-8")
    files = [*images, tmp_path / "images" / "text.jpg", tmp_path / "images" / "gone.jpg"]
    call = FakeSearch.__call__

    def refusing(self: FakeSearch, rgb: np.ndarray, *arguments: object, **settings: object) -> object:
        if len(rgb) == 1:
            raise UserError("image: too large")
        return call(self, rgb, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeSearch, "__call__", refusing)
    cv2.imwrite(str(images[1]), np.zeros((1, 40, 3), np.uint8))
    for num_searched in (2, 0):  # the second call searches only the unreadable ones again
        summary, searched = make(files, tmp_path / "p.npz")
        assert searched == num_searched
        assert [re.sub(r".*/", "", line)[:22] for line in summary.unreadable] == [
            "gone.jpg: cannot be re",
            "large.png: image: too ",
            "text.jpg: expected an ",
        ]
        assert read_proposals(tmp_path / "p.npz").files == ("a.png", "z.png")


OTHER_SETTINGS = [
    (SearchSettings("single"), "mode=single, found fast"),
    (SearchSettings(seed=1), "seed=1, found 0"),
    (SearchSettings(min_side=5), "min_side=5, found 20"),
    (SearchSettings(resize_to=500), "resize_to=500, found None"),
    (SearchSettings(min_side_width=None), "min_side_width=None, found nothing"),
    (SearchSettings(colors=("HSV", "Lab")), "colors=HSV,Lab, found nothing"),
    (SearchSettings(similarities=("S", "F")), "similarities=S,F, found nothing"),
    (SearchSettings(k=(50, 100)), "k=50,100, found nothing"),
]


def test_make_proposals_with_other_choices_raises_and_passes_them_to_the_search(
    make: MakeProposals, tmp_path: Path
) -> None:
    images, out = write_random_images(tmp_path, IMAGE_NAMES[:2]), tmp_path / "p.npz"
    chosen = SearchSettings(colors=("H", "I"), similarities=("S",), k=(7,), min_side_width=None)
    make(images, out, chosen)
    settings = read_proposals(out).settings
    assert settings == SearchSettings().to_dict() | {
        "colors": "H,I",
        "similarities": "S",
        "k": "7",
        "min_side_width": None,
    }
    assert make(images, out, chosen)[1] == 0  # all of them read
    for other in (SearchSettings(), replace(chosen, k=(8,)), replace(chosen, colors=("I", "H"))):
        with pytest.raises(UserError, match=r"expected proposals made with .*; give another --out"):
            make(images, out, other)


@pytest.mark.parametrize(("settings", "message"), OTHER_SETTINGS)
@pytest.mark.parametrize("finished", [False, True])
def test_make_proposals_over_other_settings_raises_and_keeps_the_file(
    settings: SearchSettings, message: str, finished: bool, make: MakeProposals, tmp_path: Path
) -> None:
    images, out = write_random_images(tmp_path, IMAGE_NAMES[:2]), tmp_path / "p.npz"
    if finished:
        make(images, out)
    else:
        with pytest.raises(ZeroDivisionError):
            make(images, out, workers=1, fail_at=1)
    existing = out if finished else tmp_path / ".p.npz.unfinished"
    content_before = existing.read_bytes()
    with pytest.raises(UserError, match=rf"{re.escape(str(existing))}: .*{re.escape(message)}; give another --out"):
        make(images, out, settings)
    assert existing.read_bytes() == content_before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.npz", b"", "found a file that does not contain them"),
        ("p.npz", b"mine", "found a file that does not contain them"),
        ("p.mat", None, r"ends in \.npz, found \.mat"),
        (".p.npz.unfinished", b"mine\n", "found something else"),
        (".p.npz.unfinished", b"[1]\n", "found something else"),
    ],
)
def test_make_proposals_over_a_foreign_file_raises_and_keeps_it(
    name: str, content: bytes | None, message: str, make: MakeProposals, tmp_path: Path
) -> None:
    images = write_random_images(tmp_path / "images", IMAGE_NAMES[:1])
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        make(images, tmp_path / (name if name.startswith("p") else "p.npz"))
    assert [file.read_bytes() for file in tmp_path.iterdir() if file.is_file()] == [content] * (content is not None)


def test_make_proposals_that_would_drop_images_raises_user_error(make: MakeProposals, tmp_path: Path) -> None:
    images, out = write_random_images(tmp_path / "images", IMAGE_NAMES[:4]), tmp_path / "p.npz"
    make(images[:3], out)
    content_before = out.read_bytes()
    with pytest.raises(UserError, match=r"p\.npz: expected only the 2 requested images, found 2 more .* 0\.png first"):
        make(images[2:], out)
    assert out.read_bytes() == content_before
    assert not (tmp_path / ".p.npz.unfinished").exists()


def test_proposal_journal_keeps_no_boxes_in_memory(
    make: MakeProposals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_arrays: list[int] = []
    add = ProposalJournal.add

    def adding(self: ProposalJournal, content: int, proposals: object) -> None:
        add(self, content, proposals)  # type: ignore[arg-type]
        num_arrays.append(sum(isinstance(value, np.ndarray) for value in vars(self).values()))

    monkeypatch.setattr(ProposalJournal, "add", adding)
    make(write_random_images(tmp_path / "images", IMAGE_NAMES), tmp_path / "p.npz")
    assert num_arrays == [0] * len(IMAGE_NAMES)
