from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.cli.describe_eval import _can_score_text, _text_line
from detect.describe.datasets import read_captions
from detect.describe.describer import load_describer
from detect.describe.evaluate import evaluate_describer, recall_difference
from detect.describe.retrieval import rank_photos_for_sentences
from detect.describe.text_scores import TextScores
from tests.conftest import Command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.random.default_rng(len(name)).integers(0, 255, (90, 120, 3), np.uint8))
    return folder


def test_align_writes_a_picture_and_json(
    tiny_describe: Path, photos: Path, tmp_path: Path, detect_command: Command
) -> None:
    sentence = "A red zebra left of a disc"
    out = tmp_path / "out"
    status, text, err = detect_command(
        "describe", "align", tiny_describe, photos / "a.png", sentence, "--out", out, "--device", "cpu"
    )
    assert (status, err) == (0, "")
    assert "unknown to the model, and read as one unknown word: zebra" in text
    record = json.loads((out / "a.json").read_text())
    assert [word["word"] for word in record["words"]] == sentence.lower().split()
    assert [word["word"] for word in record["words"] if not word["known"]] == ["zebra"]
    assert cv2.imread(str(out / "a.png")) is not None


def test_align_leaves_the_photo_and_the_labels_beside_it(
    tiny_describe: Path, photos: Path, detect_command: Command
) -> None:
    labels, before = photos / "a.json", (photos / "a.png").read_bytes()
    labels.write_text('{"shapes": []}')
    command = ("describe", "align", tiny_describe, photos / "a.png", "a disc", "--device", "cpu", "--out")
    status, _, err = detect_command(*command, photos)
    assert (status, err.count("\n")) == (2, 1)
    assert "a.png: expected a file that this command does not read" in err
    (photos / "out").mkdir()
    labels.rename(photos / "out" / "a.json")
    status, _, err = detect_command(*command, photos / "out")
    assert status == 2
    assert "a.json: expected a result of this command to replace, found another file" in err
    assert (photos / "a.png").read_bytes() == before
    assert (photos / "out" / "a.json").read_text() == '{"shapes": []}'


@pytest.mark.parametrize(
    ("photo", "sentence", "message"),
    [
        ("a.png", "", "SENTENCE: expected a sentence with words"),
        ("a.png", "okapi", "SENTENCE: expected a word among the 10"),
        ("c.png", "a disc", "expected a photo, found nothing"),
    ],
)
def test_align_refuses_in_one_line(
    tiny_describe: Path, photos: Path, tmp_path: Path, detect_command: Command, photo: str, sentence: str, message: str
) -> None:
    status, _, err = detect_command(
        "describe", "align", tiny_describe, photos / photo, sentence, "--out", tmp_path / "o"
    )
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_search_ranks_all_photos_and_names_the_unreadable(
    tiny_describe: Path, photos: Path, tmp_path: Path, detect_command: Command
) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    file = tmp_path / "found.json"
    status, out, err = detect_command(
        "describe", "search", tiny_describe, photos, "--query", "a red ring", "--top", 1, "--json", file
    )
    assert status == 1
    assert "broken.jpg" in err
    assert "1 of 3 images could not be read" in err
    assert out.splitlines()[-1] == "2 photos ranked"
    rows = json.loads(file.read_text())
    assert sorted(Path(row["file"]).name for row in rows) == ["a.png", "b.png"]
    assert rows[0]["score"] >= rows[1]["score"]
    assert sum(line.startswith(("1  ", "2  ")) for line in out.splitlines()) == 1


def test_caption_writes_about_photos_and_regions(
    tiny_describe: Path, photos: Path, tmp_path: Path, detect_command: Command
) -> None:
    file = tmp_path / "captions.json"
    status, out, err = detect_command("describe", "caption", tiny_describe, photos, "--regions", "--json", file)
    assert (status, err) == (0, "")
    rows = json.loads(file.read_text())
    assert len(rows) == len(out.splitlines()) - 2  # a line for each photo's name
    assert [row["label"] for row in rows].count(None) == 2
    status, out, _ = detect_command("describe", "caption", tiny_describe, photos / "a.png")
    assert status == 0
    assert len(out.splitlines()) == 2


def test_eval_scores_and_compares(tiny_describe: Path, tmp_path: Path, detect_command: Command) -> None:
    file = tmp_path / "scores.json"
    status, out, err = detect_command(
        "describe", "eval", tiny_describe, tiny_describe, "--no-text", "--json", file, "--device", "cpu"
    )
    assert (status, err) == (0, "")
    scores = json.loads(file.read_text())
    describer = load_describer(tiny_describe)
    dataset = read_captions(describer.model.config.data, "val")
    assert scores["photos"] == len(dataset.images)
    assert scores["sentences"] == 5 * len(dataset.images)
    assert scores["pointing"]["num_mentions"] == sum(
        len(sentence.mentions) for image in dataset.images for sentence in image.sentences
    )
    assert scores["pointing_on_objects"]["reachable"] == 1
    assert scores["text"] is None
    assert scores["compared"]["photo_to_sentence"]["recall_10_difference"] == 0
    assert "sentence to photo: R@1" in out
    features = [describer.regions(dataset.read(index)).features for index in range(len(dataset.images))]
    tokens = [sentence.tokens for image in dataset.images for sentence in image.sentences]
    photo_scores = describer.model.photo_scores(features, tokens)
    ranks = rank_photos_for_sentences(photo_scores, np.repeat(np.arange(len(features)), 5))
    assert scores["sentence_to_photo"]["recall_1"] == pytest.approx(float((ranks == 1).mean()))


@pytest.mark.parametrize(
    ("sentences", "cider", "ending"), [(0, None, "-"), (2, None, "- (needs pycocoevalcap)"), (2, 0.5, "0.500")]
)
def test_the_line_of_written_sentences_says_what_cider_needs(sentences: int, cider: float | None, ending: str) -> None:
    scores = TextScores(bleu=None, rouge_l=None, cider=cider, sentences=sentences)
    assert _text_line(scores) == f"written: BLEU-1..4 -, ROUGE-L -, CIDEr {ending}"


def test_eval_says_that_a_model_without_a_generator_writes_nothing(
    tiny_describe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describer = load_describer(tiny_describe)
    assert not _can_score_text(replace(describer, model=replace(describer.model, generator=None)))
    assert capsys.readouterr().out == "no sentences: the model has no generator\n"


@pytest.mark.slow
def test_evaluation_of_written_sentences_counts_photos_and_objects(tiny_describe: Path, tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu", reason="sacrebleu is optional (the extra describe), and not installed here")
    pytest.importorskip("rouge_score", reason="rouge-score is optional (the extra describe), and not installed here")
    from rich.console import Console

    describer = load_describer(tiny_describe)
    dataset = read_captions(describer.model.config.data, "val")
    scores = evaluate_describer(describer, dataset, tmp_path, Console(quiet=True), with_text=True)
    assert scores.text is not None
    assert scores.text.sentences == len(dataset.images)
    assert scores.region_captions is not None
    assert scores.region_captions.captions == sum(len(image.boxes) for image in dataset.images)


def test_recall_difference_and_its_interval() -> None:
    photos = np.repeat(np.arange(40), 5)
    first, second = np.full(200, 3), np.full(200, 30)
    assert recall_difference((first, second), photos) == (1, 1, 1)
    second[:100] = 2
    gain, low, high = recall_difference((first, second), photos)
    assert gain == 0.5
    # 20 of 40 photos: the standard error of a fraction is sqrt(0.25 / 40) = 0.079
    assert low == pytest.approx(0.5 - 1.96 * 0.079, abs=0.04)
    assert high == pytest.approx(0.5 + 1.96 * 0.079, abs=0.04)
