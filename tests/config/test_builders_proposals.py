"""Proposals for an evaluation: from the file that the settings name, from what a run has left, else searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detect.config import ModelConfig
from detect.config.builders.proposals import known_proposals, search_settings
from detect.errors import UserError
from detect.proposals import lookups
from detect.proposals.files import content_key, pack_proposals, write_proposals
from detect.types import Proposals
from tests.proposals.fakes import photograph

KNOWN, SEARCHED = 7.0, 9.0  # the corner of the boxes from either source


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    def search(*_: object, **__: object) -> Proposals:
        return Proposals(torch.tensor([[0.0, 0.0, SEARCHED, SEARCHED]]), torch.ones(1))

    monkeypatch.setattr(lookups, "selective_search", search)
    return [str(file) for file in photograph(tmp_path, ["0.png", "1.png", "2.png"])]


def write(file: Path, images: list[str], model: ModelConfig) -> None:
    boxes = Proposals(torch.tensor([[0.0, 0.0, KNOWN, KNOWN]]), torch.ones(1))
    entries = [(Path(image).name, content_key(Path(image).read_bytes()), boxes) for image in images]
    write_proposals(file, pack_proposals(entries, search_settings(model).recorded()))


def model(**settings: object) -> ModelConfig:
    return ModelConfig.model_validate({"kind": "fast_rcnn", **settings})


def corners(found: object, images: list[str]) -> list[float]:
    return [float(np.asarray(found[image][0])[0, 2]) for image in images]  # type: ignore[index]


def test_a_detector_with_an_rpn_is_given_none(images: list[str], tmp_path: Path) -> None:
    assert known_proposals(ModelConfig(), images, tmp_path) is None


@pytest.mark.parametrize(
    ("known", "changes", "expected"),
    [
        (0, {}, [SEARCHED] * 3),
        (2, {}, [KNOWN, KNOWN, SEARCHED]),
        (3, {}, [KNOWN] * 3),
        (3, {"search": {"seed": 1}}, [SEARCHED] * 3),
    ],
    ids=["nothing left", "some images", "all", "of another search"],
)
def test_what_a_run_has_left_is_not_searched_again(
    known: int, changes: dict[str, object], expected: list[float], images: list[str], tmp_path: Path
) -> None:
    if known:
        write(tmp_path / "proposals.npz", images[:known], model())
    assert corners(known_proposals(model(**changes), images, tmp_path), images) == expected


def test_proposals_of_other_images_are_no_help(images: list[str], tmp_path: Path) -> None:
    write(tmp_path / "proposals.npz", images[:1], model())
    assert corners(known_proposals(model(), images[1:], tmp_path), images[1:]) == [SEARCHED] * 2


def test_a_named_file_must_know_every_image(images: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    write(file, images, model())
    named = model(proposals=str(file))
    assert corners(known_proposals(named, images, tmp_path), images) == [KNOWN] * 3
    write(file, images[:2], model())
    with pytest.raises(UserError, match=r"model\.proposals: .*found none for 1 of them.*selective_search searches"):
        known_proposals(named, images, tmp_path)
