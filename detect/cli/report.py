"""The command ``detect report``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import format_bytes, require_writable_file


@click.command("report", epilog="Example: detect report runs/faster_rcnn-1 --out report.html")
@click.argument("run", type=Path)
@click.option("--out", type=Path, metavar="FILE.html", help="Page to write [default: report.html in the run folder].")
@options.settings
@options.device
@options.precision
def report_command(
    run: Path, out: Path | None, overrides: tuple[str, ...], device: Device | None, precision: Precision | None
) -> None:
    """Write one HTML page about RUN, a run folder: settings, curves, metrics, error types, images that show them.

    RUN may also be a checkpoint, or a name of `detect model zoo`: then --out is needed, and there are no curves. The
    page needs no server and no network. Detections on the validation data are cached in the folder `report` of the run,
    or beside the page, so that the next report takes seconds.
    """
    tune_malloc()
    if out is not None and out.suffix not in (".html", ".htm"):
        raise UserError(f"--out {out}: expected a name that ends in .html")
    if out is not None:
        require_writable_file(out)
    from detect.inference.dataset_pass import describe_other_sizes
    from detect.report.make_report import ReportOptions, make_model_report, make_report, open_run

    report_options = ReportOptions(overrides, device or "auto", precision or "fp32")
    if out is not None and not run.is_dir():
        page, report = out, make_model_report(run, out, report_options, Console())
    else:
        page = out or run / "report.html"
        report = make_report(open_run(run), page, report_options, Console())
    print(f"{page}: {format_bytes(report.size)}")
    if report.other_sizes:
        print(describe_other_sizes(report.other_sizes))
    exit_if_unreadable(report.unreadable)
