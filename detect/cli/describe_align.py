"""The command ``detect describe align``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detect.cli import options
from detect.cli.options import Device
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_file, require_writable_folder, write_text
from detect.system.numbers import format_count
from detect.system.overwriting import require_other_files

if TYPE_CHECKING:
    import numpy as np

    from detect.describe.describer import Alignment

WHOLE_PHOTO = "the whole photo"
_SENTENCE = "sentence"  # a key that the JSON of `align` has, and labels of a photo (LabelMe's) do not


@click.command(
    "align",
    short_help="Show which words of a sentence belong to which box of a photo.",
    epilog='Example: detect describe align runs/describe_shapes-1 photo.jpg "a striped disc left of a green ring"',
)
@click.argument("model", type=Path)
@click.argument("photo", type=Path)
@click.argument("sentence")
@click.option(
    "--out",
    type=Path,
    metavar="DIR",
    default=Path("aligned"),
    show_default=True,
    help="Folder for the picture and the JSON file, named as the photo.",
)
@options.settings
@options.device
def align(
    model: Path, photo: Path, sentence: str, out: Path, overrides: tuple[str, ...], device: Device | None
) -> None:
    """Find the box of each word of SENTENCE on PHOTO, and write a picture and a JSON file.

    Words that belong to no box belong to the whole photo, and are gray in the picture. Words that the model does not
    know stand in brackets.
    """
    tune_malloc()
    require_file(photo, "a photo")
    require_writable_folder(out)
    picture, file = out / f"{photo.stem}.png", out / f"{photo.stem}.json"
    _require_own_files(picture, file, photo)
    from detect import draw
    from detect.data.images import read_image
    from detect.describe.alignment_picture import draw_alignment
    from detect.describe.describer import describe_unknown, load_describer, require_words

    describer = load_describer(model, overrides, device)
    tokens = require_words(sentence, describer.model.vocabulary, "SENTENCE")
    rgb = read_image(photo)
    alignment = describer.align(rgb, tokens)
    unknown = describe_unknown(tokens, describer.model.vocabulary)
    for line in (*describer.notes, *unknown, *_empty(len(alignment.regions))):
        print(line)
    for line in _phrases(alignment, describer.classes):
        print(line)
    record = {"file": str(photo), _SENTENCE: sentence, **alignment.to_dict(describer.classes)}
    write_text(file, json.dumps(record, indent=1) + "\n")
    draw.save_image(picture, draw_alignment(rgb, alignment))
    num_regions = len(set(alignment.assigned.tolist()))
    print(f"{picture} and {file.name}: {format_count(len(tokens), 'word')}, {format_count(num_regions, 'region')}")


def _require_own_files(picture: Path, file: Path, photo: Path) -> None:
    """Raise UserError where the results would replace the photo, or a JSON file of another program beside it."""
    require_other_files([picture], [photo])
    if file.exists() and f'"{_SENTENCE}"' not in file.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{file}: expected a result of this command to replace, found another file; give another --out")


def _empty(num_regions: int) -> list[str]:
    """Return the line on a photo without detections, which has one region."""
    return ["nothing was detected: every word belongs to the whole photo"] if num_regions == 1 else []


def _phrases(alignment: Alignment, classes: tuple[str, ...]) -> list[str]:
    """Return a line for each segment of the sentence: its words and their region."""
    from detect.describe.segments import split_segments

    lines = []
    for segment in split_segments(alignment.assigned):
        words = " ".join(alignment.tokens[segment.first : segment.end])
        region = segment.region
        label = int(alignment.regions.labels[region])
        lines.append(f"{words}: {region_name(label, alignment.regions.boxes[region], classes)}")
    return lines


def region_name(label: int, box: np.ndarray, classes: tuple[str, ...]) -> str:
    """Return ``dog at 10 20 110 220``, or the whole photo for label 0."""
    return WHOLE_PHOTO if label == 0 else f"{classes[label - 1]} at {' '.join(f'{edge:.0f}' for edge in box)}"
