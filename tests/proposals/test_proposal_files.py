"""Proposal files: writing and reading, the formats of other programs, refused files."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from detect.errors import UserError
from detect.proposals.files import content_hash, pack_proposals, read_proposals, require_same_image, write_proposals
from detect.types import Proposals


def random_proposals(count, seed=0, on_whole_pixels=True):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 500, (count, 2, 2)).astype(np.float32) + (0 if on_whole_pixels else 0.25)
    boxes = np.sort(corners, axis=1).reshape(-1, 4)
    return Proposals(torch.from_numpy(boxes), torch.linspace(1, 0.1, count))


IMAGES = [
    ("a.jpg", content_hash(b"a"), random_proposals(5)),
    ("empty.jpg", content_hash(b"e"), random_proposals(0)),
    ("b.jpg", 7, random_proposals(3, 1)),
]


@pytest.mark.parametrize(
    "images", [[], IMAGES[1:2], IMAGES, [("half.jpg", 1, random_proposals(4, on_whole_pixels=False))]]
)
def test_read_proposals_returns_what_was_written(tmp_path, images):
    path = tmp_path / "p.npz"
    write_proposals(path, pack_proposals(images, {"mode": "fast", "seed": 3, "resize_to": None}))
    stored = read_proposals(path)
    assert stored.files == tuple(name for name, _, _ in images)
    assert stored.content_hashes.tolist() == [image_hash for _, image_hash, _ in images]
    assert stored.settings == {"mode": "fast", "seed": 3, "resize_to": None}
    assert len(stored) == len(images)
    for index, (_, _, proposals) in enumerate(images):
        assert torch.equal(stored[index].boxes, proposals.boxes)
        assert torch.equal(stored[index].scores, proposals.scores)
        source_index = stored[index].source_index
        assert source_index is not None
        assert source_index.tolist() == list(range(len(proposals)))


@pytest.mark.slow
def test_read_proposals_with_a_flipped_bit_raises_or_is_unchanged(tmp_path, record_property):
    """An .npz has a checksum of each array; only times and permissions, which are never read, have none."""
    path = tmp_path / "p.npz"
    write_proposals(path, pack_proposals(IMAGES, {"mode": "fast"}))
    content, original, num_refused = path.read_bytes(), read_proposals(path), 0
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :])
        try:
            proposals = read_proposals(path)
        except UserError:
            num_refused += 1
            continue
        assert (proposals.files, proposals.settings) == (original.files, original.settings)
        for name in ("content_hashes", "offsets", "boxes", "scores"):
            assert np.array_equal(getattr(proposals, name), getattr(original, name))
    assert num_refused > len(content) / 2
    record_property("flipped bits", len(content))


def test_write_proposals_on_whole_pixels_stores_uint16(tmp_path):
    for whole, dtype in ((True, np.uint16), (False, np.float32)):
        write_proposals(tmp_path / "p.npz", pack_proposals([("a", 1, random_proposals(9, on_whole_pixels=whole))]))
        with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
            assert arrays["boxes"].dtype == dtype


def test_read_proposals_from_mat_converts_one_based_y_first_corners(tmp_path):
    images, boxes = np.empty((1, 2), object), np.empty((1, 2), object)
    images[0, :] = ["000001", "000002"]
    boxes[0, :] = [np.array([[2, 1, 40, 30], [1, 1, 5, 5]], np.float64), np.zeros((0, 4))]
    savemat(tmp_path / "ss.mat", {"images": images, "boxes": boxes})
    proposals = read_proposals(tmp_path / "ss.mat")
    assert proposals.files == ("000001", "000002")
    assert proposals[0].boxes.tolist() == [[0, 1, 30, 40], [0, 0, 5, 5]]
    assert proposals[0].scores.tolist() == [1, 0.5]
    assert len(proposals[1]) == 0


def test_read_proposals_from_mat_sorts_by_score(tmp_path):
    cells = {name: np.empty((1, 2), object) for name in ("images", "boxes", "scores")}
    cells["images"][0, :] = ["a", "b"]
    cells["boxes"][0, :] = [np.array([[1, 1, 5, 5], [2, 1, 40, 30]], np.float64), np.zeros((0, 4))]
    cells["scores"][0, :] = [np.array([[0.25], [0.75]]), np.zeros((0, 1))]
    savemat(tmp_path / "p.mat", cells)
    proposals = read_proposals(tmp_path / "p.mat")
    assert proposals[0].boxes.tolist() == [[0, 1, 30, 40], [0, 0, 5, 5]]
    assert proposals[0].scores.tolist() == [0.75, 0.25]
    assert len(proposals[1]) == 0

    cells["scores"][0, 0] = np.array([[0.25]])
    savemat(tmp_path / "p.mat", cells)
    with pytest.raises(UserError, match="2 boxes and 1 scores of a"):
        read_proposals(tmp_path / "p.mat")


def test_read_proposals_from_json_sorts_by_score(tmp_path):
    entries = [
        {"file": "a", "boxes": [[0, 0, 1, 1], [0, 0, 2, 2]], "scores": [0.25, 0.75]},
        {"file": "b", "boxes": []},
    ]
    (tmp_path / "p.json").write_text(json.dumps(entries))
    proposals = read_proposals(tmp_path / "p.json")
    assert proposals[0].boxes.tolist() == [[0, 0, 2, 2], [0, 0, 1, 1]]
    assert proposals[0].scores.tolist() == [0.75, 0.25]
    assert len(proposals[1]) == 0


def write_wrong_counts(path):
    np.savez(
        path,
        header=np.frombuffer(b'{"version": 1, "settings": {}, "files": ["a"]}', np.uint8),
        contents=np.ones(1, np.uint64),
        offsets=np.array([0, 4]),
        boxes=np.zeros((3, 4), np.uint16),
        scores=np.zeros(3, np.float32),
    )


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        (
            "p.pkl",
            lambda path: path.write_bytes(pickle.dumps({})),
            "found a pickle, which can run code .* save a .json",
        ),
        ("p.txt", lambda path: path.write_text(""), r"ends in \.npz, \.mat, \.json, found \.txt"),
        ("p.npz", lambda _path: None, "expected a file of proposals, found nothing"),
        ("p.npz", lambda path: path.write_bytes(b"PK\x03\x04cut"), "does not contain them"),
        ("p.npz", lambda path: path.write_bytes(b""), "does not contain them"),
        ("p.npz", lambda path: np.savez(path, boxes=np.zeros((2, 4))), "does not contain them"),
        ("p.npz", lambda path: np.savez(path, header=np.array([{}], object)), "does not contain them"),
        ("p.npz", write_wrong_counts, "other numbers of boxes or scores than the offsets state"),
        ("p.mat", lambda path: savemat(path, {"x": 1}), "does not contain them"),
        ("p.mat", lambda path: path.write_bytes(b"no"), "does not contain them"),
        ("p.json", lambda path: path.write_text('{"a": 1}'), "does not contain them"),
        ("p.json", lambda path: path.write_text("[{}]"), "does not contain them"),
        (
            "p.json",
            lambda path: path.write_text('[{"file": "a", "boxes": []}, {"file": "a", "boxes": []}]'),
            "expected each image once, found a twice",
        ),
        ("p.json", lambda path: path.write_text('[{"file": "a", "boxes": [[1, 2]]}]'), "does not contain them"),
        (
            "p.json",
            lambda path: path.write_text('[{"file": "a", "boxes": [[1, 2, 3, 4], [1, 2, 3, 4]], "scores": [1]}]'),
            "2 boxes and 1 scores of a",
        ),
        (
            "p.json",
            lambda path: path.write_text('[{"file": "a", "boxes": [[9, 9, 3, 3], [1, 2, 3, 4]]}]'),
            r"1 boxes whose ends x2 y2 are before .*x y w h",
        ),
    ],
)
def test_read_proposals_of_invalid_files_raises_user_error(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        read_proposals(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_require_same_image_when_stale_raises_user_error(tmp_path):
    proposals = pack_proposals([*IMAGES, ("old.mat", 0, random_proposals(1))], {"mode": "fast"})
    path = tmp_path / "p.npz"
    require_same_image(path, proposals, "a.jpg", content_hash(b"a"), {"mode": "fast"})
    require_same_image(path, proposals, "old.mat", content_hash(b"anything"))
    with pytest.raises(UserError, match=r"p\.npz: stale: a\.jpg has changed"):
        require_same_image(path, proposals, "a.jpg", content_hash(b"b"))
    with pytest.raises(UserError, match=r"p\.npz: stale: expected proposals with mode=quality, found fast"):
        require_same_image(path, proposals, "a.jpg", content_hash(b"a"), {"mode": "quality"})
    with pytest.raises(UserError, match=r"a\.jpeg: .* found none .did you mean .a\.jpg"):
        proposals.index("a.jpeg")


def test_write_proposals_to_other_suffix_raises_user_error():
    with pytest.raises(UserError, match=r"ends in \.npz, found \.mat"):
        write_proposals(Path("p.mat"), pack_proposals([]))
