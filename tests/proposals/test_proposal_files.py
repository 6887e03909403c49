"""Proposal files: written and read back, the peers' formats, what is refused."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from detect.errors import UserError
from detect.proposals.files import check_fresh, content_key, pack_proposals, read_proposals, write_proposals
from detect.types import Proposals


def some(count, seed=0, whole=True):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 500, (count, 4)).astype(np.float32) + (0 if whole else 0.25)
    return Proposals(torch.from_numpy(corners), torch.linspace(1, 0.1, count))


IMAGES = [("a.jpg", content_key(b"a"), some(5)), ("empty.jpg", content_key(b"e"), some(0)), ("b.jpg", 7, some(3, 1))]


@pytest.mark.parametrize("photos", [[], IMAGES[1:2], IMAGES, [("half.jpg", 1, some(4, whole=False))]])
def test_a_file_is_read_as_it_was_written(tmp_path, images):
    path = tmp_path / "p.npz"
    write_proposals(path, pack_proposals(images, {"mode": "fast", "seed": 3, "resize_to": None}))
    found = read_proposals(path)
    assert found.files == tuple(name for name, _, _ in images)
    assert found.contents.tolist() == [key for _, key, _ in images]
    assert found.settings == {"mode": "fast", "seed": 3, "resize_to": None}
    assert len(found) == len(images)
    for index, (_, _, proposals) in enumerate(images):
        assert torch.equal(found[index].boxes, proposals.boxes)
        assert torch.equal(found[index].scores, proposals.scores)
        source = found[index].source
        assert source is not None
        assert source.tolist() == list(range(len(proposals)))


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path, record_property):
    """An .npz has a checksum of each array; what is not under one are times and rights, which nobody reads."""
    path = tmp_path / "p.npz"
    write_proposals(path, pack_proposals(IMAGES, {"mode": "fast"}))
    content, whole, refused = path.read_bytes(), read_proposals(path), 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            found = read_proposals(path)
        except UserError:
            refused += 1
            continue
        assert (found.files, found.settings) == (whole.files, whole.settings)
        for name in ("contents", "offsets", "boxes", "scores"):
            assert np.array_equal(getattr(found, name), getattr(whole, name))
    assert refused > len(content) / 2
    record_property("flipped bits", len(content))


def test_boxes_on_whole_pixels_take_sixteen_bits(tmp_path):
    for whole, dtype in ((True, np.uint16), (False, np.float32)):
        write_proposals(tmp_path / "p.npz", pack_proposals([("a", 1, some(9, whole=whole))]))
        with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
            assert arrays["boxes"].dtype == dtype


def test_matlab_corners_are_one_based_inclusive_and_start_with_y(tmp_path):
    images, boxes = np.empty((1, 2), object), np.empty((1, 2), object)
    images[0, :] = ["000001", "000002"]
    boxes[0, :] = [np.array([[2, 1, 40, 30], [1, 1, 5, 5]], np.float64), np.zeros((0, 4))]
    savemat(tmp_path / "ss.mat", {"images": images, "boxes": boxes})
    found = read_proposals(tmp_path / "ss.mat")
    assert found.files == ("000001", "000002")
    assert found[0].boxes.tolist() == [[0, 1, 30, 40], [0, 0, 5, 5]]
    assert found[0].scores.tolist() == [1, 0.5]
    assert len(found[1]) == 0


def test_json_is_sorted_by_its_scores(tmp_path):
    entries = [
        {"file": "a", "boxes": [[0, 0, 1, 1], [0, 0, 2, 2]], "scores": [0.25, 0.75]},
        {"file": "b", "boxes": []},
    ]
    (tmp_path / "p.json").write_text(json.dumps(entries))
    found = read_proposals(tmp_path / "p.json")
    assert found[0].boxes.tolist() == [[0, 0, 2, 2], [0, 0, 1, 1]]
    assert found[0].scores.tolist() == [0.75, 0.25]
    assert len(found[1]) == 0


def wrong_counts(path):
    np.savez(
        path,
        header=np.frombuffer(b'{"version": 1, "settings": {}, "files": ["a"]}', np.uint8),
        contents=np.ones(1, np.uint64),
        offsets=np.array([0, 4]),
        boxes=np.zeros((3, 4), np.uint16),
        scores=np.zeros(3, np.float32),
    )


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        (
            "p.pkl",
            lambda path: path.write_bytes(pickle.dumps({})),
            "found a pickle, which can run code .* save a .json",
        ),
        ("p.txt", lambda path: path.write_text(""), r"ends in \.npz, \.mat, \.json, found \.txt"),
        ("p.npz", lambda _path: None, "expected a file of proposals, found nothing"),
        ("p.npz", lambda path: path.write_bytes(b"PK\x03\x04cut"), "does not hold them"),
        ("p.npz", lambda path: path.write_bytes(b""), "does not hold them"),
        ("p.npz", lambda path: np.savez(path, boxes=np.zeros((2, 4))), "does not hold them"),
        ("p.npz", lambda path: np.savez(path, header=np.array([{}], object)), "does not hold them"),
        ("p.npz", wrong_counts, "as many boxes and scores as the offsets say"),
        ("p.mat", lambda path: savemat(path, {"x": 1}), "does not hold them"),
        ("p.mat", lambda path: path.write_bytes(b"no"), "does not hold them"),
        ("p.json", lambda path: path.write_text('{"a": 1}'), "does not hold them"),
        ("p.json", lambda path: path.write_text("[{}]"), "does not hold them"),
        (
            "p.json",
            lambda path: path.write_text('[{"file": "a", "boxes": []}, {"file": "a", "boxes": []}]'),
            "expected each image once, found a twice",
        ),
        ("p.json", lambda path: path.write_text('[{"file": "a", "boxes": [[1, 2]]}]'), "does not hold them"),
    ],
)
def test_what_holds_no_proposals_is_refused_by_name(tmp_path, name, make, words):
    make(tmp_path / name)
    with pytest.raises(UserError, match=words) as caught:
        read_proposals(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_stale_file_is_refused_by_name(tmp_path):
    found = pack_proposals([*IMAGES, ("old.mat", 0, some(1))], {"mode": "fast"})
    path = tmp_path / "p.npz"
    check_fresh(path, found, "a.jpg", content_key(b"a"), {"mode": "fast"})
    check_fresh(path, found, "old.mat", content_key(b"anything"))
    with pytest.raises(UserError, match=r"p\.npz: stale: a\.jpg has changed"):
        check_fresh(path, found, "a.jpg", content_key(b"b"))
    with pytest.raises(UserError, match=r"p\.npz: stale: expected proposals with mode=quality, found fast"):
        check_fresh(path, found, "a.jpg", content_key(b"a"), {"mode": "quality"})
    with pytest.raises(UserError, match=r"a\.jpeg: .* found none .did you mean .a\.jpg"):
        found.index("a.jpeg")


def test_only_npz_is_written():
    with pytest.raises(UserError, match=r"ends in \.npz, found \.mat"):
        write_proposals(Path("p.mat"), pack_proposals([]))
