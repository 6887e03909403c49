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
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    def search(*_: object, **__: object) -> Proposals:
        return Proposals(torch.tensor([[0.0, 0.0, SEARCHED, SEARCHED]]), torch.ones(1))

    monkeypatch.setattr(lookups, "selective_search", search)
    return [str(file) for file in photograph(tmp_path, ["0.png", "1.png", "2.png"])]


def write(file: Path, photos: list[str], model: ModelConfig) -> None:
    boxes = Proposals(torch.tensor([[0.0, 0.0, KNOWN, KNOWN]]), torch.ones(1))
    entries = [(Path(photo).name, content_key(Path(photo).read_bytes()), boxes) for photo in photos]
    write_proposals(file, pack_proposals(entries, search_settings(model).recorded()))


def model(**settings: object) -> ModelConfig:
    return ModelConfig.model_validate({"kind": "fast_rcnn", **settings})


def corners(found: object, photos: list[str]) -> list[float]:
    return [float(np.asarray(found[photo][0])[0, 2]) for photo in photos]  # type: ignore[index]


def test_a_detector_with_an_rpn_is_given_none(photos: list[str], tmp_path: Path) -> None:
    assert known_proposals(ModelConfig(), photos, tmp_path) is None


@pytest.mark.parametrize(
    ("known", "changes", "expected"),
    [
        (0, {}, [SEARCHED] * 3),
        (2, {}, [KNOWN, KNOWN, SEARCHED]),
        (3, {}, [KNOWN] * 3),
        (3, {"search": {"seed": 1}}, [SEARCHED] * 3),
    ],
    ids=["nothing left", "some photos", "all", "of another search"],
)
def test_what_a_run_has_left_is_not_searched_again(
    known: int, changes: dict[str, object], expected: list[float], photos: list[str], tmp_path: Path
) -> None:
    if known:
        write(tmp_path / "proposals.npz", photos[:known], model())
    assert corners(known_proposals(model(**changes), photos, tmp_path), photos) == expected


def test_proposals_of_other_photos_are_no_help(photos: list[str], tmp_path: Path) -> None:
    write(tmp_path / "proposals.npz", photos[:1], model())
    assert corners(known_proposals(model(), photos[1:], tmp_path), photos[1:]) == [SEARCHED] * 2


def test_a_named_file_must_know_every_photo(photos: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    write(file, photos, model())
    named = model(proposals=str(file))
    assert corners(known_proposals(named, photos, tmp_path), photos) == [KNOWN] * 3
    write(file, photos[:2], model())
    with pytest.raises(UserError, match=r"model\.proposals: .*found none for 1 of them.*selective_search searches"):
        known_proposals(named, photos, tmp_path)
