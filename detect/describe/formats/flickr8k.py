"""Flickr8k: a file of sentences, three lists of photos, and a folder of photos (Hodosh, Young and Hockenmaier 2013).

Flickr8k.token.txt              1000268201_693b08cb0e.jpg#0<tab>A child in a pink dress ...
Flickr_8k.trainImages.txt       6,000 names of photos, one a line; devImages and testImages have 1,000 each
Flicker8k_Dataset/              the photos; the name is spelled so
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detect.describe.captions import CaptionedImage, no_boxes
from detect.describe.formats.caption_files import (
    CaptionFiles,
    count_wordless,
    photo_folder,
    require_photos,
    to_sentence,
)
from detect.describe.tokens import tokenize
from detect.errors import UserError, did_you_mean, shorten
from detect.system.files import require_folder, text_lines

TOKEN_FILE = "Flickr8k.token.txt"
_LIST = "Flickr_8k.{}Images.txt"
_PHOTO_FOLDERS = ("Flicker8k_Dataset", "Flickr8k_Dataset", "Images", "images")


def read_flickr8k(root: Path, split: str, images: Path | None = None) -> CaptionFiles:
    """Return the photos of a list with their sentences, in the order of the list.

    root: the folder of the token file and the lists; split: train, dev or test, or the file name of a list; images: the
    folder of the photos, in the current folder or in root, None for the usual ones in root. Sentences without a word
    are left out and counted. Raises UserError for a line of another form, and for a photo of the list that has no
    sentence or no file.
    """
    require_folder(root, "the folder data.root")
    list_file = _list_file(root, split)
    sentences = _read_sentences(root / TOKEN_FILE)
    names = [name for line in text_lines(list_file) if (name := line.strip())]
    _check_names(names, list_file)
    folder = photo_folder(root, images, _PHOTO_FOLDERS)
    files = [folder / name for name in names]
    require_photos(files, list_file)
    captioned = []
    for name in names:
        texts = [text for text in sentences.get(name, ()) if tokenize(text)]
        if not texts:
            raise UserError(f"{root / TOKEN_FILE}: expected sentences of {name} of {list_file}, found none")
        captioned.append(
            CaptionedImage(
                name=name,
                sentences=tuple(to_sentence(text) for text in texts),
                boxes=no_boxes(),
                labels=np.zeros(0, np.int64),
            )
        )
    wordless = count_wordless([text for name in names for text in sentences[name]])
    return CaptionFiles(classes=(), images=tuple(captioned), files=tuple(files), notes=wordless)


def _list_file(root: Path, split: str) -> Path:
    """Return the list of a split, by its short name or its file name."""
    candidates = [root / split, root / _LIST.format(split)]
    for file in candidates:
        if file.is_file():
            return file
    lists = sorted(file.name for file in root.glob("*.txt") if file.name != TOKEN_FILE)
    names = ", ".join(lists[:5]) or "none"
    raise UserError(
        f"data: expected {split} or {_LIST.format(split)}, found {names} in {root}{did_you_mean(split, lists)}"
    )


def _read_sentences(file: Path) -> dict[str, list[str]]:
    """Return the sentences of each photo, in the order of the file. Raises UserError."""
    sentences: dict[str, list[str]] = {}
    for number, line in enumerate(text_lines(file), start=1):
        if not line.strip():
            continue
        key, tab, text = line.partition("\t")
        name, mark, index = key.rpartition("#")
        if not (tab and mark and name and index.strip().isdecimal()):
            raise UserError(f"{file}: line {number}: expected PHOTO#NUMBER<tab>SENTENCE, found {shorten(line)}")
        sentences.setdefault(name, []).append(text.strip())
    if not sentences:
        raise UserError(f"{file}: expected PHOTO#NUMBER<tab>SENTENCE in each line, found no line")
    return sentences


def _check_names(names: list[str], file: Path) -> None:
    """Raise UserError for an empty list and for a photo that it names twice."""
    if not names:
        raise UserError(f"{file}: expected the name of a photo in each line, found none")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{file}: expected each photo once, found {name} again")
        seen.add(name)
