"""The command ``detect data stats``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.system.files import require_writable_file, write_text

if TYPE_CHECKING:
    from detect.config import Config
    from detect.data.formats.detect_format import BoxFormat
    from detect.data.inspect.statistics import AnchorConfig


@click.command(
    "stats",
    short_help="Count images and objects; suggest anchors.",
    epilog="Example: detect data stats my-photos --min-size 400 --min-size 800",
)
@click.argument("root", type=Path)
@options.data_format
@options.data_images
@options.data_encoding
@click.option(
    "--config",
    "config_file",
    type=Path,
    metavar="FILE",
    help="Configuration with the sizes and anchors to measure [default: the built-in defaults].",
)
@options.settings
@click.option(
    "--min-size",
    "min_sizes",
    type=click.IntRange(1),
    multiple=True,
    help="Additional value of data.min_size to measure; can be repeated.",
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    help="Distance between neighboring anchors in pixels; ignored for a feature pyramid [default: that of the "
    "backbone's map].",
)
@click.option(
    "--suggest-anchors",
    "num_sizes_and_ratios",
    type=click.IntRange(1, 9),
    default=3,
    show_default=True,
    help="Number of sizes and of aspect ratios to suggest.",
)
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the statistics to this file.")
def stats(
    root: Path,
    format_: BoxFormat | None,
    images: Path | None,
    encoding: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    min_sizes: tuple[int, ...],
    stride: int | None,
    num_sizes_and_ratios: int,
    json_file: Path | None,
) -> None:
    """Count images, objects and classes in ROOT, and measure the recall of the anchors that a training with these
    settings has.

    An object counts as recalled at an IoU of 0.5 or 0.7 when some anchor overlaps it that much after its image is
    resized. The last line suggests anchors, as options of `detect train`. Images are measured whole, also where
    data.slice.size cuts them for a training.
    """
    if json_file is not None:
        require_writable_file(json_file)
    from detect.config.builders.detector import build_preprocess
    from detect.config.builders.splits import describe_folder_splits
    from detect.data.formats.report import summarize
    from detect.data.inspect.inspector import scan_folder
    from detect.data.inspect.statistics import compute_statistics
    from detect.data.inspect.statistics_tables import format_counts, statistics_tables
    from detect.data.inspect.valid_annotations import count_skipped, unreadable_findings, valid_annotations
    from detect.data.usage import data_usage

    settings, notes = _with_initial_model(options.load_settings(config_file, overrides))
    folder = scan_folder(root, format_, images, encoding)
    annotations = valid_annotations(folder)
    dataset_statistics = compute_statistics(
        annotations, build_preprocess(settings), min_sizes, _anchor_config(settings, stride), num_sizes_and_ratios
    )
    console = Console()
    print(format_counts(dataset_statistics.counts))
    print(replace(data_usage([annotations]), skipped=count_skipped(folder, annotations)))
    print(describe_folder_splits(folder, encoding))
    for line in summarize([*folder.findings, *unreadable_findings(folder)]):
        print(f"noted: {line}")
    for note in notes:
        print(f"noted: {note}")
    for table in statistics_tables(dataset_statistics):
        console.print(table)
    if dataset_statistics.suggested_settings:
        print(f"suggested: {dataset_statistics.suggested_settings}")
    if json_file is not None:
        write_text(json_file, json.dumps(dataset_statistics.to_dict(), indent=1, ensure_ascii=False) + "\n")


def _with_initial_model(settings: Config) -> tuple[Config, list[str]]:
    """Return the settings whose sizes and anchors are measured, and a line on each way in which a training differs."""
    notes = []
    if settings.train.auto:
        from detect.system.device import select_device
        from detect.training.finetuning.choose import fill_from_initial

        settings = fill_from_initial(settings, select_device(settings.device, "fp32").device.type != "cpu")
        notes.append(
            f"train.auto: measured are the sizes and anchors of {settings.model.init}, from which a training begins; "
            "it takes others where these miss too many objects"
        )
    elif settings.model.uses_precomputed_proposals:
        source = settings.model.proposal_source
        notes.append(f"model.proposals is {source}: a training has no anchors, measured are those of an RPN instead")
    if settings.data.slice.size is not None:
        notes.append("data.slice.size is not measured: sizes, recall and suggested anchors are those of whole images")
    return settings, notes


def _anchor_config(settings: Config, stride: int | None) -> AnchorConfig:
    """Return the anchors to measure: those of the settings, at another distance if ``stride`` is given."""
    from detect.config.builders.anchors import build_anchor_config

    anchors = build_anchor_config(settings.model)
    return anchors if stride is None or len(anchors.strides) > 1 else replace(anchors, strides=(stride,))
