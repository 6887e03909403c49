"""The command ``detect describe eval``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from rich.console import Console

from detect.cli import options
from detect.cli.options import Device
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_file, write_text

if TYPE_CHECKING:
    from detect.describe.captions import CaptionDataset
    from detect.describe.describer import Describer
    from detect.describe.evaluate import DescribeScores, RegionCaptionScores
    from detect.describe.pointing import PointingScores
    from detect.describe.retrieval import RetrievalScores
    from detect.describe.text_scores import TextScores


@click.command(
    "eval",
    short_help="Score a model on a data set, or compare two.",
    epilog="Example: detect describe eval runs/describe_shapes-1 --json scores.json",
)
@click.argument("model", type=Path)
@click.argument("model_b", type=Path, required=False)
@click.option("--split", type=click.Choice(["train", "val"]), default="val", show_default=True, help="Split to score.")
@click.option("--text/--no-text", "with_text", default=True, help="Score what the model writes [default: --text].")
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the scores to this file.")
@options.settings
@options.device
def evaluate(
    model: Path,
    model_b: Path | None,
    split: Literal["train", "val"],
    with_text: bool,
    json_file: Path | None,
    overrides: tuple[str, ...],
    device: Device | None,
) -> None:
    """Score MODEL on its data: search both ways, pointing beside its controls, and what it writes.

    With MODEL_B also the difference of R@10 with its 95% interval, for both models on the data of MODEL.
    """
    tune_malloc()
    if json_file is not None:
        require_writable_file(json_file)
    from detect.describe.datasets import read_captions
    from detect.describe.describer import load_describer

    console = Console(stderr=True)
    describer = load_describer(model, overrides, device)
    dataset = read_captions(describer.model.config.data, split)
    for note in (*describer.notes, *dataset.notes):
        print(note, flush=True)
    with_text = with_text and _can_score_text(describer)
    started = time.perf_counter()
    scores = _evaluate(describer, model, dataset, console, with_text)
    seconds = time.perf_counter() - started
    for line in _score_lines(scores):
        print(line)
    record = {**scores.to_dict(), "seconds": seconds}
    if model_b is not None:
        other = load_describer(model_b, [pair for pair in overrides if not pair.startswith("detector=")], device)
        for note in other.notes:
            print(note, flush=True)
        other_scores = _evaluate(other, model_b, dataset, console, False)
        record["compared"] = _compare(scores, other_scores, model_b)
    if json_file is not None:
        write_text(json_file, json.dumps(record, indent=1) + "\n")


def _evaluate(
    describer: Describer, model: Path, dataset: CaptionDataset, console: Console, with_text: bool
) -> DescribeScores:
    """Return the scores; the features of regions are stored in the run folder."""
    from detect.describe.evaluate import evaluate_describer
    from detect.describe.recipe import FEATURES_FOLDER

    folder = (model if model.is_dir() else model.parent) / FEATURES_FOLDER
    return evaluate_describer(describer, dataset, folder, console, with_text)


def _can_score_text(describer: Describer) -> bool:
    """Return whether there is a generator and the packages that score it, and say so where there is not."""
    from detect.describe.text_scores import require_packages

    if describer.model.generator is None:
        print("no sentences: the model has no generator", flush=True)
        return False
    try:
        require_packages()
    except UserError as error:
        print(f"sentences are not scored: {error}", flush=True)
        return False
    return True


def _score_lines(scores: DescribeScores) -> list[str]:
    """Return the scores as lines."""
    lines = [f"{scores.photos} photos, {scores.sentences} sentences"]
    lines.append(_retrieval_line("photo to sentence", scores.photo_to_sentence))
    lines.append(_retrieval_line("sentence to photo", scores.sentence_to_photo))
    for title, pointing in (("pointing", scores.pointing), ("pointing among true boxes", scores.pointing_on_objects)):
        if pointing is not None:
            lines.append(_pointing_line(title, pointing))
    if scores.text is not None:
        lines.append(_text_line(scores.text))
    if scores.region_captions is not None:
        lines.append(_region_captions_line(scores.region_captions))
    return lines


def _retrieval_line(title: str, scores: RetrievalScores) -> str:
    recalls = (scores.recall_1, scores.recall_5, scores.recall_10)
    numbers = ", ".join(f"R@{n} {_number(recall)}" for n, recall in zip((1, 5, 10), recalls, strict=True))
    median = "-" if scores.median_rank is None else f"{scores.median_rank:g}"
    return f"{title}: {numbers}, median rank {median}"


def _pointing_line(title: str, scores: PointingScores) -> str:
    return (
        f"{title}: words {_number(scores.words)}, mentions {_number(scores.mentions)} of {scores.num_mentions}; "
        f"a random box {_number(scores.random)}, the largest {_number(scores.largest)}, "
        f"the upper bound {_number(scores.reachable)}"
    )


def _text_line(scores: TextScores) -> str:
    bleu = " ".join(_number(score) for score in scores.bleu or ())
    cider = "- (needs pycocoevalcap)" if scores.sentences and scores.cider is None else _number(scores.cider)
    return f"written: BLEU-1..4 {bleu or '-'}, ROUGE-L {_number(scores.rouge_l)}, CIDEr {cider}"


def _region_captions_line(scores: RegionCaptionScores) -> str:
    return f"written about regions: {_number(scores.right)} of {scores.captions} say kind and texture"


def _number(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.3f}"


def _compare(scores: DescribeScores, other: DescribeScores, model_b: Path) -> dict[str, dict[str, float]]:
    """Print and return the differences of R@10 with their intervals."""
    import numpy as np

    from detect.describe.evaluate import recall_difference

    described = np.unique(scores.photo_of_sentence)
    directions = {
        "photo_to_sentence": (scores.ranks_of_sentences, other.ranks_of_sentences, described),
        "sentence_to_photo": (scores.ranks_of_photos, other.ranks_of_photos, scores.photo_of_sentence),
    }
    differences = {}
    for name, (ranks, other_ranks, photos) in directions.items():
        gain, low, high = recall_difference((ranks, other_ranks), photos)
        print(f"{name.replace('_', ' ')}: R@10 {gain:+.3f} against {model_b} (95%: {low:+.3f} to {high:+.3f})")
        differences[name] = {"recall_10_difference": gain, "low": low, "high": high}
    return differences
