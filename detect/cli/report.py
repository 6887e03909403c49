"""detect report."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from detect.cli import options
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.system.cpu import keep_freed_memory
from detect.system.files import place_for_file, told_size


@click.command("report", epilog="Example: detect report runs/faster_rcnn-1 --out report.html")
@click.argument("run", type=Path)
@click.option("--out", type=Path, metavar="FILE.html", help="The page [default: report.html in the run's folder].")
@options.settings
@options.device
@options.precision
def command(
    run: Path, out: Path | None, overrides: tuple[str, ...], device: Device | None, precision: Precision | None
) -> None:
    """Write one HTML page about RUN, a run folder: settings, curves, numbers, kinds of error, images that show them.

    The page needs no server and no network. Detections on the validation data are kept in RUN/report, so that the next
    report is made in seconds.
    """
    keep_freed_memory()
    if out is not None and out.suffix not in (".html", ".htm"):
        raise UserError(f"--out {out}: expected a name that ends in .html")
    if out is not None:
        place_for_file(out)
    from detect.report.make_report import Options, make_report, open_run

    folder = open_run(run)
    page = out or run / "report.html"
    made = make_report(folder, page, Options(overrides, device or "auto", precision or "fp32"), Console())
    print(f"{page}: {told_size(made.size)}")
    for line in made.unreadable:
        print(f"detect: {line}", file=sys.stderr)
    sys.exit(1 if made.unreadable else 0)
