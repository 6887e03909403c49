from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detect.describe.formats.flickr8k import TOKEN_FILE, read_flickr8k
from detect.errors import UserError

TOKENS = "b.jpg#0\tA dog runs .\nb.jpg#1\t.\na.jpg#0\tTwo people\nc.jpg#0\t! !\n"


def flickr8k(folder: Path, names: str = "a.jpg\nb.jpg\n", tokens: str = TOKENS) -> Path:
    (folder / TOKEN_FILE).write_text(tokens)
    (folder / "Flickr_8k.testImages.txt").write_text(names)
    (folder / "Flicker8k_Dataset").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        Image.fromarray(np.full((4, 6, 3), 90, np.uint8)).save(folder / "Flicker8k_Dataset" / name)
    return folder


@pytest.mark.parametrize("split", ["test", "Flickr_8k.testImages.txt"])
def test_photos_of_a_list_with_their_sentences_in_its_order(tmp_path: Path, split: str) -> None:
    captions = read_flickr8k(flickr8k(tmp_path), split)
    assert [image.name for image in captions.images] == ["a.jpg", "b.jpg"]
    assert [[sentence.text for sentence in image.sentences] for image in captions.images] == [
        ["Two people"],
        ["A dog runs ."],
    ]
    assert captions.images[1].sentences[0].tokens == ("a", "dog", "runs")
    assert captions.notes == ("1 sentences without letters or digits are left out",)
    assert captions.classes == ()
    assert captions.read(1).shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("names", "tokens", "split", "message"),
    [
        ("", TOKENS, "test", "expected the name of a photo"),
        ("a.jpg\na.jpg\n", TOKENS, "test", "found a.jpg again"),
        ("d.jpg\n", TOKENS, "test", "expected its 1 photos, found 0"),
        ("c.jpg\n", TOKENS, "test", "expected sentences of c.jpg"),
        ("a.jpg\n", "", "test", "found no line"),
        ("a.jpg\n", "a.jpg Two people\n", "test", "line 1: expected PHOTO#NUMBER"),
        ("a.jpg\n", TOKENS, "tset", "did you mean"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, names: str, tokens: str, split: str, message: str
) -> None:
    folder = flickr8k(tmp_path, names, tokens)
    with pytest.raises(UserError, match=message) as error:
        read_flickr8k(folder, "Flickr_8k.tsetImages.txt" if split == "tset" else split)
    assert "\n" not in str(error.value)
