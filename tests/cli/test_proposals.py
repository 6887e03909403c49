"""detect proposals make, detect proposals recall."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

import detect
from detect.proposals import search_dataset as module
from detect.proposals.files import pack_proposals, read_proposals, write_proposals
from detect.types import Proposals
from tests.conftest import TINY, Command
from tests.proposals.fake_search import FakeSearch, write_random_images


@pytest.fixture
def shapes(shapes_root: Path) -> list[str]:
    return [
        part
        for setting in (f"data.root={shapes_root}", "data.train_images=12", "data.val_images=4")
        for part in ("--set", setting)
    ]


@pytest.fixture(autouse=True)
def search(monkeypatch: pytest.MonkeyPatch) -> FakeSearch:
    fake = FakeSearch()
    monkeypatch.setattr(module, "selective_search", fake)
    return fake


@pytest.mark.parametrize(("flags", "count"), [([], 16), (["--split", "train"], 12), (["--split", "val"], 4)])
def test_make_searches_a_data_set(
    flags: list[str], count: int, shapes: list[str], tmp_path: Path, detect_command: Command, search: FakeSearch
) -> None:
    out = tmp_path / "p.npz"
    status, stdout, err = detect_command("proposals", "make", *shapes, "--out", out, "--mode", "single", *flags)
    assert (status, err, search.num_searched) == (0, "", count)
    proposals = read_proposals(out)
    assert len(proposals) == count
    assert f"{len(proposals.boxes)} boxes in {count} images, {len(proposals.boxes) / count:.1f} per image" in stdout
    assert stdout.splitlines()[-1].startswith(f"{len(proposals.boxes)} boxes")
    assert str(out) in stdout
    assert proposals.settings["mode"] == "single"
    status, stdout, _ = detect_command("proposals", "make", *shapes, "--out", out, "--mode", "single", *flags)
    assert (status, search.num_searched) == (0, count)
    assert f"{count} images searched before" in stdout


def test_make_searches_with_a_choice_of_strategies(tmp_path: Path, detect_command: Command, search: FakeSearch) -> None:
    write_random_images(tmp_path, ["a.png"])
    flags = ("--colors", "HSV,I", "--similarities", "F", "--k", "50,9", "--min-side-width", 0)
    assert detect_command("proposals", "make", tmp_path, "--out", tmp_path / "p.npz", *flags)[0] == 0
    expected = {"colors": ("HSV", "I"), "similarities": ("F",), "k": (50, 9), "min_side_width": None}
    assert search.choices == expected
    assert detect_command("proposals", "make", tmp_path, "--out", tmp_path / "p.npz", *flags)[0] == 0
    status, _, err = detect_command("proposals", "make", tmp_path, "--out", tmp_path / "p.npz")
    assert status == 2
    assert "expected proposals made with" in err


def test_make_searches_images_and_reports_unreadable_ones(tmp_path: Path, detect_command: Command) -> None:
    write_random_images(tmp_path / "photos", ["a.png", "inner/b.png"])
    (tmp_path / "photos" / "c.jpg").write_text("text", encoding="utf-8")
    out = tmp_path / "p.npz"
    status, stdout, err = detect_command("proposals", "make", tmp_path / "photos", "--out", out, "--resize-to", 500)
    assert status == 1
    assert "in 2 images" in stdout
    assert "c.jpg: expected an image" in err
    assert "1 of 3 images could not be read" in err
    proposals = read_proposals(out)
    assert proposals.files == ("a.png", "inner/b.png")
    assert proposals.settings["resize_to"] == 500


@pytest.fixture
def whole_image_proposals(shapes: list[str], tmp_path: Path, detect_command: Command) -> Path:
    """Write a proposal file with one proposal for each image but the first: the whole image."""
    assert detect_command("proposals", "make", *shapes, "--out", tmp_path / "proposals.npz", "--split", "val")[0] == 0
    proposals = read_proposals(tmp_path / "proposals.npz")
    whole_image = Proposals(torch.tensor([[0.0, 0, 160, 120]]), torch.ones(1))
    images = [
        (name, int(key), whole_image) for name, key in zip(proposals.files, proposals.content_hashes, strict=True)
    ]
    write_proposals(tmp_path / "p.npz", pack_proposals(images[1:]))
    return tmp_path / "p.npz"


def test_recall_of_a_proposal_file(
    whole_image_proposals: Path, shapes: list[str], tmp_path: Path, detect_command: Command
) -> None:
    json_file = tmp_path / "r.json"
    status, stdout, err = detect_command("proposals", "recall", whole_image_proposals, *shapes, "--json", json_file)
    assert (status, err) == (0, "")
    assert "no entry for 1 of 4 images (first: " in stdout
    assert "00000.jpg); they count as images without proposals" in stdout
    assert "0.8 proposals per image; 1 of 4 images without any" in stdout
    written = json.loads(json_file.read_text(encoding="utf-8"))
    assert written["images_without_proposals"] == 1
    assert 0 < written["MABO"] < 1
    assert f"{100 * written['MABO']:.1f}" in stdout
    figure_file = tmp_path / "p-recall.png"
    assert f"{figure_file}: recall figure" in stdout
    assert cv2.imread(str(figure_file)) is not None


@pytest.mark.slow
def test_recall_of_a_model(shapes_root: Path, tmp_path: Path, detect_command: Command) -> None:
    from detect.config.files import load_config

    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    run = tmp_path / "run"
    detect.train(load_config(tmp_path / "tiny.yaml", [f"data.root={shapes_root}", "train.steps=1"]), run)
    for flags, figure_file in (([], run / "best-recall.png"), (["--figure", tmp_path / "x.png"], tmp_path / "x.png")):
        status, stdout, err = detect_command("proposals", "recall", "--model", run, "--device", "cpu", *flags)
        assert (status, err) == (0, "")
        assert "0 of 4 images without any" in stdout
        assert f"{figure_file}: recall figure" in stdout
        assert figure_file.is_file()


def test_recall_refuses_an_unwritable_figure_before_it_scores(
    whole_image_proposals: Path, shapes: list[str], tmp_path: Path, detect_command: Command
) -> None:
    (tmp_path / "p-recall.png").mkdir()
    status, stdout, err = detect_command("proposals", "recall", whole_image_proposals, *shapes)
    assert status == 2
    assert "MABO" not in stdout
    assert "p-recall.png: expected a file to write, found a folder" in err


def test_recall_refuses_proposals_of_other_images_and_names_both(
    shapes: list[str], tmp_path: Path, detect_command: Command
) -> None:
    no_boxes = Proposals(torch.zeros(0, 4), torch.zeros(0))
    write_proposals(tmp_path / "p.npz", pack_proposals([("cat.jpg", 0, no_boxes)]))
    status, _, err = detect_command("proposals", "recall", tmp_path / "p.npz", *shapes)
    assert status == 2
    assert "val/00000.jpg, found such as cat.jpg" in err
    assert len(err.splitlines()) == 1


def test_recall_refuses_a_stale_proposal_file(
    whole_image_proposals: Path, shapes: list[str], detect_command: Command
) -> None:
    proposals = read_proposals(whole_image_proposals)
    write_proposals(
        whole_image_proposals,
        pack_proposals([(name, 5, proposals[index]) for index, name in enumerate(proposals.files)]),
    )
    status, _, err = detect_command("proposals", "recall", whole_image_proposals, *shapes)
    assert status == 2
    assert "p.npz: stale: 00001.jpg has changed" in err


WRONG_USAGE = [
    (("make",), "--out"),
    (
        ("make", "--out", "{tmp}/p.npz"),
        "expected either PATH... or a data set by --set data.root=FOLDER, found neither",
    ),
    (("make", "{tmp}", "--set", "data.format=shapes", "--out", "{tmp}/p.npz"), "found both"),
    (("make", "{tmp}", "--split", "val", "--out", "{tmp}/p.npz"), "--split: expected a data set by --set"),
    (("make", "{tmp}", "--out", "{tmp}/p.npz"), "expected images"),
    (("make", "{tmp}/photos", "--out", "{tmp}/p.mat"), "expected a name that ends in .npz, found .mat"),
    (("make", "{tmp}/photos", "--out", "{tmp}/folder.npz"), "folder.npz: expected a file to write, found a folder"),
    (
        ("make", "{tmp}/photos", "--out", "{tmp}/photos/a.png/p.npz"),
        "photos/a.png: expected a folder to write in, found a file",
    ),
    (("make", "{tmp}/photos", "--out", "{tmp}/p.npz", "--mode", "fats"), "fats"),
    (("make", "{tmp}/photos", "--out", "{tmp}/p.npz", "--workers", "0"), "--workers"),
    (("make", "--set", "data.rot=x", "--out", "{tmp}/p.npz"), 'data.rot: unknown key (did you mean "root"?)'),
    (("make", "{tmp}/photos", "--model", "run", "--out", "{tmp}/p.npz"), "--model: expected a data set"),
    (("make", "--model", "{tmp}/nothing", "--out", "{tmp}/p.npz"), "nothing: expected a run folder or a checkpoint"),
    (("make", "{tmp}/photos", "--out", "{tmp}/p.npz", "--k", "50,x"), "--k: expected whole numbers such as"),
    (("make", "{tmp}/photos", "--out", "{tmp}/p.npz", "--k", "0"), "k: expected integers of at least 1, found 0"),
    (("make", "{tmp}/photos", "--out", "{tmp}/p.npz", "--colors", "HSW"), "found 'HSW'"),
    (
        ("make", "{tmp}/photos", "--out", "{tmp}/p.npz", "--similarities", "FS"),
        "similarities: expected names of C, T, S, F",
    ),
    (("mak",), 'no command mak (did you mean "make"?)'),
    (("recall",), "expected either FILE or --model MODEL, found neither"),
    (("recall", "p.npz", "--model", "run"), "found both"),
    (("recall", "p.npz"), "--set: expected the data set that FILE is of"),
    (("recall", "p.npz", "--device", "cpu"), "--device: expected only together with --model"),
    (("recall", "--model", "{tmp}", "--picture", "x.jpg"), "--figure x.jpg: expected a name that ends in .png"),
    (("recall", "--model", "{tmp}", "--json", "{tmp}"), "expected a file to write, found a folder"),
    (("recall", "--model", "{tmp}", "--picture", "{tmp}/text/x.png"), "expected a folder to write in"),
    (("recall", "--model", "{tmp}"), "expected a run folder with best.pt or last.pt"),
    (("recall", "no.npz", "--set", "data.format=shapes"), "no.npz: expected a file of proposals, found nothing"),
    (("recall", "{tmp}/p.pkl", "--set", "data.format=shapes"), "found a pickle, which can run code"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_USAGE, ids=lambda value: value[0] if value else None)
def test_wrong_usage_prints_one_line_and_exits_with_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, detect_command: Command
) -> None:
    if any("photos" in argument for argument in arguments):
        write_random_images(tmp_path / "photos", ["a.png"])
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "text").touch()
    status, _, err = detect_command("proposals", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "p.npz").exists()


@pytest.mark.slow  # numba compiles for half a minute on a new machine
def test_make_writes_the_boxes_of_selective_search(
    tmp_path: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detect.proposals import selective_search

    monkeypatch.setattr(module, "selective_search", selective_search)
    rgb = np.random.default_rng(0).integers(0, 255, (3, 4, 3), np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), rgb[..., ::-1])
    assert detect_command("proposals", "make", tmp_path, "--out", tmp_path / "p.npz", "--mode", "single")[0] == 0
    expected = selective_search(rgb, "single")
    proposals = read_proposals(tmp_path / "p.npz")
    assert proposals.files == ("a.png", "b.png")
    for index in (0, 1):
        assert torch.equal(proposals[index].boxes, expected.boxes)
        assert torch.equal(proposals[index].scores, expected.scores)
