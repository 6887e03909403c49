"""The tables of ``detect model zoo``."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from detect.checkpoints.model_card import Measurement
from detect.checkpoints.packaged import read_card
from detect.checkpoints.zoo import SHIPPED, ZOO, shipped_files
from detect.system.files import format_bytes

METRIC_NAMES = {"coco": "AP", "voc07": "VOC07 mAP", "voc12": "VOC12 mAP"}
UNKNOWN = "-"


def shipped_table() -> Table:
    """Return the table of the detectors that come with the package, with the figures in their files."""
    columns = ("name", "measured on", "metric", "score (95% interval)", "size", "s/image", "license", "data")
    table = _table("In this package: no network needed", columns)
    for name, file in shipped_files().items():
        card = read_card(file)
        table.add_row(name, *_measured_cells(card.measured, file), card.license, card.data)
    if not table.row_count:
        table.caption = f"none in {SHIPPED}"
    return table


def published_table() -> Table:
    """Return the table of the detectors that are downloaded from their makers."""
    table = _table("Published: downloaded once", ("name", "measured on", "box AP", "mask AP", "license", "source"))
    for name, entry in ZOO.items():
        mask_ap = UNKNOWN if entry.mask_ap is None else f"{entry.mask_ap:.1f}"
        table.add_row(name, entry.data, f"{entry.ap:.1f}", mask_ap, entry.license, entry.url)
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _measured_cells(measured: Measurement | None, file: Path) -> tuple[str, str, str, str, str]:
    """Return the cells from "measured on" to "s/image"."""
    size = format_bytes(file.stat().st_size)
    if measured is None:
        return UNKNOWN, UNKNOWN, UNKNOWN, size, UNKNOWN
    low_high = measured.interval
    interval = "" if low_high is None else f" ({low_high[0]:.3f} to {low_high[1]:.3f})"
    seconds = UNKNOWN if measured.seconds_per_image is None else f"{measured.seconds_per_image:.2f}"
    return (
        f"{measured.dataset}, {measured.images} images",
        METRIC_NAMES[measured.metric],
        f"{measured.score:.3f}{interval}",
        size,
        f"{seconds} ({measured.machine})" if measured.machine else seconds,
    )
