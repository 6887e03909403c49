"""The commands ``detect describe search`` and ``caption``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.describe_align import region_name
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.options import Device
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_file, write_text

if TYPE_CHECKING:
    import numpy as np

    from detect.describe.describer import Match, RegionCaption
    from detect.inference.find_images import ImageSearch

_json = click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the answers to this file.")


@click.command(
    "search",
    short_help="Rank photos by how well they fit a sentence.",
    epilog='Example: detect describe search runs/describe_flickr8k-1 photos --query "a brown dog" --top 5',
)
@click.argument("model", type=Path)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--query", metavar="TEXT", required=True, help="The sentence.")
@click.option(
    "--top", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Number of photos to print."
)
@_json
@options.settings
@options.device
def search(
    model: Path,
    paths: tuple[str, ...],
    query: str,
    top: int,
    json_file: Path | None,
    overrides: tuple[str, ...],
    device: Device | None,
) -> None:
    """Rank the photos of PATH (files, folders, globs) by their score with a sentence, the best first.

    Each photo is printed with the region that fits the whole sentence best. The JSON file has all photos.
    """
    tune_malloc()
    _require_output(json_file)
    from detect.describe.describer import describe_unknown, load_describer, require_words
    from detect.inference.find_images import search_images

    images = search_images(paths)
    describer = load_describer(model, overrides, device)
    tokens = require_words(query, describer.model.vocabulary, "--query")
    for line in (*images.notes(), *describer.notes, *describe_unknown(tokens, describer.model.vocabulary)):
        print(line, flush=True)
    unreadable: list[str] = []
    matches = [(file, describer.match(rgb, tokens)) for file, rgb in _read(images, "searching", unreadable)]
    matches.sort(key=lambda match: -match[1].photo_score)
    for rank, (file, match) in enumerate(matches[:top], start=1):
        print(f"{rank}  {match.photo_score:.3f}  {file}  {_place(match, describer.classes)}")
    if json_file is not None:
        rows = [{"file": str(file), **_match_record(match, describer.classes)} for file, match in matches]
        write_text(json_file, json.dumps(rows, indent=1) + "\n")
    print(f"{len(matches)} photos ranked")
    exit_if_unreadable(unreadable, len(images.images))


@click.command(
    "caption",
    short_help="Write a sentence about each photo, and about its regions.",
    epilog="Example: detect describe caption runs/describe_shapes-1 photos --regions --json captions.json",
)
@click.argument("model", type=Path)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--regions", "with_regions", is_flag=True, help="Write a sentence about each region too.")
@click.option(
    "--beam", type=click.IntRange(1), metavar="N", help="Unfinished sentences to keep [default: of the model]."
)
@_json
@options.settings
@options.device
def caption(
    model: Path,
    paths: tuple[str, ...],
    with_regions: bool,
    beam: int | None,
    json_file: Path | None,
    overrides: tuple[str, ...],
    device: Device | None,
) -> None:
    """Write a sentence about each photo of PATH (files, folders, globs).

    The number before it is the mean logarithm of the probability of its words and its end: nearer to 0 is surer.
    """
    tune_malloc()
    _require_output(json_file)
    from detect.describe.describer import load_describer
    from detect.inference.find_images import search_images

    images = search_images(paths)
    describer = load_describer(model, overrides, device)
    for line in (*images.notes(), *describer.notes):
        print(line, flush=True)
    unreadable: list[str] = []
    rows = []
    for file, rgb in _read(images, "writing", unreadable):
        captions = describer.caption(rgb, with_regions, beam)
        print(f"{file}", *(_caption_line(each, describer.classes) for each in captions), sep="\n")
        rows += [{"file": str(file), **_caption_record(each, describer.classes)} for each in captions]
    if json_file is not None:
        write_text(json_file, json.dumps(rows, indent=1) + "\n")
    exit_if_unreadable(unreadable, len(images.images))


def _require_output(json_file: Path | None) -> None:
    if json_file is not None:
        require_writable_file(json_file)


def _read(images: ImageSearch, label: str, unreadable: list[str]) -> Iterator[tuple[Path, np.ndarray]]:
    """Yield the photos that can be read; a line for each of the others is added to ``unreadable``."""
    from detect.data.images import read_image
    from detect.errors import UnreadableImage
    from detect.system.progress import show_progress

    with show_progress(Console(stderr=True), label, len(images.images), "photos") as progress:
        for file in images.images:
            try:
                yield file, read_image(file)
            except UnreadableImage as error:
                unreadable.append(str(error))
            progress.advance(1)


def _place(match: Match, classes: tuple[str, ...]) -> str:
    return region_name(match.label, match.box, classes)


def _match_record(match: Match, classes: tuple[str, ...]) -> dict[str, object]:
    """Return a match as values for JSON; label is None for the whole photo."""
    label = None if match.label == 0 else classes[match.label - 1]
    region = {"box": match.box.tolist(), "label": label, "score": match.region_score}
    return {"score": match.photo_score, "region": region}


def _caption_line(sentence: RegionCaption, classes: tuple[str, ...]) -> str:
    region = region_name(sentence.label, sentence.box, classes)
    return f"  {sentence.mean_log_probability:.2f}  {' '.join(sentence.words)}  ({region})"


def _caption_record(sentence: RegionCaption, classes: tuple[str, ...]) -> dict[str, object]:
    """Return a sentence as values for JSON; label is None for the whole photo."""
    return {
        "sentence": " ".join(sentence.words),
        "log_probability": sentence.log_probability,
        "box": sentence.box.tolist(),
        "label": None if sentence.label == 0 else classes[sentence.label - 1],
    }
