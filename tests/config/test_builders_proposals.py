"""Proposals for an evaluation: from the file of the settings, from that of the run folder, or from a search."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from detect.config import ModelConfig
from detect.config.builders.proposals import compare_search, proposals_for_evaluation, search_settings
from detect.errors import UserError
from detect.proposals import lookups
from detect.proposals.files import Setting, content_hash, pack_proposals, write_proposals
from detect.proposals.selective_search.settings import SearchSettings
from detect.types import Proposals
from tests.proposals.fake_search import write_random_images

STORED, SEARCHED = 7.0, 9.0  # corner of the boxes of either source


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    def search(*_: object, **__: object) -> Proposals:
        return Proposals(torch.tensor([[0.0, 0.0, SEARCHED, SEARCHED]]), torch.ones(1))

    monkeypatch.setattr(lookups, "selective_search", search)
    return [str(file) for file in write_random_images(tmp_path, ["0.png", "1.png", "2.png"])]


def write_boxes(file: Path, images: list[str], model: ModelConfig) -> None:
    boxes = Proposals(torch.tensor([[0.0, 0.0, STORED, STORED]]), torch.ones(1))
    entries = [(Path(image).name, content_hash(Path(image).read_bytes()), boxes) for image in images]
    write_proposals(file, pack_proposals(entries, search_settings(model).to_dict()))


def model(**settings: object) -> ModelConfig:
    return ModelConfig.model_validate({"kind": "fast_rcnn", **settings})


def corners(lookup: object, images: list[str]) -> list[float]:
    return [float(np.asarray(lookup[image][0])[0, 2]) for image in images]  # type: ignore[index]


def test_proposals_for_evaluation_of_an_rpn_detector_are_none(images: list[str], tmp_path: Path) -> None:
    assert proposals_for_evaluation(ModelConfig(), images, tmp_path) is None


@pytest.mark.parametrize(
    ("num_stored", "changes", "expected"),
    [
        (0, {}, [SEARCHED] * 3),
        (2, {}, [STORED, STORED, SEARCHED]),
        (3, {}, [STORED] * 3),
        (3, {"search": {"seed": 1}}, [SEARCHED] * 3),
        (3, {"search": {"colors": ["I"]}}, [SEARCHED] * 3),
        (3, {"search": {"similarities": ["F"]}}, [SEARCHED] * 3),
        (3, {"search": {"k": [50]}}, [SEARCHED] * 3),
        (3, {"search": {"min_size_width": None}}, [SEARCHED] * 3),
    ],
    ids=["no file", "some images", "all images", "another seed", "colors", "similarities", "k", "width"],
)
def test_proposals_in_the_run_folder_are_not_searched_again(
    num_stored: int, changes: dict[str, object], expected: list[float], images: list[str], tmp_path: Path
) -> None:
    if num_stored:
        write_boxes(tmp_path / "proposals.npz", images[:num_stored], model())
    assert corners(proposals_for_evaluation(model(**changes), images, tmp_path), images) == expected


@pytest.mark.parametrize(
    ("made_with", "expected"),
    [
        ({}, None),
        (SearchSettings().to_dict(), None),
        (SearchSettings(min_side=20, min_side_width=500).to_dict(), None),
        (SearchSettings(seed=7).to_dict(), "made with seed=7, .* searched with seed=0;"),
        (
            SearchSettings(mode="quality", min_side_width=None).to_dict(),
            "made with mode=quality, min_size_width=null, .* searched with mode=fast, min_size_width=500;",
        ),
        (SearchSettings(k=(50, 100)).to_dict(), "made with k=\\[50,100\\], .* searched with k=null;"),
        ({"algorithm": "rpn", "model": "runs/rpn"}, "made by rpn, while .* are searched by model.search"),
    ],
    ids=["unknown", "the same", "defaults named", "seed", "mode and width", "k", "rpn"],
)
def test_settings_of_a_file_that_the_model_does_not_have(made_with: dict[str, Setting], expected: str | None) -> None:
    line = compare_search(Path("mine.npz"), made_with, model())
    assert line is None if expected is None else re.match(rf"mine\.npz: {expected}", str(line))


def test_proposals_of_other_images_are_searched(images: list[str], tmp_path: Path) -> None:
    write_boxes(tmp_path / "proposals.npz", images[:1], model())
    assert corners(proposals_for_evaluation(model(), images[1:], tmp_path), images[1:]) == [SEARCHED] * 2


def test_files_in_the_settings_share_the_images(images: list[str], tmp_path: Path) -> None:
    files = [tmp_path / "trainval.npz", tmp_path / "test.npz"]
    for file, of_file in zip(files, (images[:1], images[1:]), strict=True):
        write_boxes(file, of_file, model())
    split = model(proposals=list(map(str, files)))
    assert split.proposal_files == tuple(files)
    assert corners(proposals_for_evaluation(split, images, tmp_path), images) == [STORED] * 3
    assert corners(proposals_for_evaluation(split, images[1:], tmp_path), images[1:]) == [STORED] * 2
    write_boxes(files[1], images[1:2], model())
    with pytest.raises(UserError, match=r"trainval\.npz, .*test\.npz: expected .* 3 images, found none for 1 of them"):
        proposals_for_evaluation(split, images, tmp_path)
    write_boxes(files[1], images, model())
    with pytest.raises(UserError, match=r"0\.png: expected its proposals in one file, .*trainval\.npz and .*test\.npz"):
        proposals_for_evaluation(split, images, tmp_path)


def test_file_in_the_settings_must_have_every_image(images: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    write_boxes(file, images, model())
    from_file = model(proposals=str(file))
    assert corners(proposals_for_evaluation(from_file, images, tmp_path), images) == [STORED] * 3
    write_boxes(file, images[:2], model())
    with pytest.raises(UserError, match=r"model\.proposals: .*found none for 1 of them.*selective_search searches"):
        proposals_for_evaluation(from_file, images, tmp_path)
