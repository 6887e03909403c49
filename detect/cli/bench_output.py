"""The options that the benchmarks share, and their output: tables on the terminal, a page and a file of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.system.files import require_writable_file, write_text

if TYPE_CHECKING:
    from detect.bench.result_tables import BenchmarkTable

num_images = click.option(
    "--photos",
    "num_images",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Number of images to use, all of the most frequent size.",
)
repeats = click.option(
    "--turns",
    "repeats",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Number of timed repeats of each variant.",
)
out = click.option("--out", type=Path, metavar="FILE.md", help="Write the page to this file.")
json_file = click.option("--json", "json_file", type=Path, metavar="FILE", help="Write every number to this file.")


def require_outputs(*files: Path | None) -> None:
    """Raise UserError for a file that cannot be written; None is none."""
    for file in files:
        if file is not None:
            require_writable_file(file)


def print_table(table: BenchmarkTable) -> None:
    """Print a table in Markdown, unwrapped."""
    Console().print(table.to_markdown(), markup=False, highlight=False, soft_wrap=True)


def write_tables(
    tables: Sequence[BenchmarkTable],
    out: Path | None,
    json_file: Path | None,
    title: str,
    introduction: Sequence[str],
    facts: Sequence[str] = (),
) -> None:
    """Write the tables as a page to ``out`` and as numbers to ``json_file``; None writes none."""
    from detect.bench.benchmark_page import markdown_page, write_json

    if out is not None:
        write_text(out, markdown_page(tables, title, introduction, facts))
    if json_file is not None:
        write_json(tables, json_file)
