"""Statistics as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.table import Table

from detect.data.inspect.counts import QUANTILES, Tally
from detect.data.inspect.statistics import OVERLAPS, Reached, Statistics


def headline(tally: Tally) -> str:
    """One line."""
    marked = f"{tally.difficult} difficult, {tally.crowd} crowds"
    counted = f"{tally.images} images ({tally.without_objects} without objects), {tally.objects} objects ({marked})"
    return counted + (f", {tally.dropped} boxes that cannot be used" if tally.dropped else "")


def tables(found: Statistics) -> Iterator[Table]:
    """Spreads, classes, and what anchors reach."""
    yield _spreads(found.tally)
    yield _classes(found)
    if found.reached:
        yield _reached(found)


def _spreads(tally: Tally) -> Table:
    table = Table(title="From the least to the most")
    table.add_column("")
    for share in QUANTILES:
        table.add_column({0.0: "least", 0.5: "middle", 1.0: "most"}.get(share, f"{share:.0%}"), justify="right")
    rows = {
        "image's width": tally.widths,
        "image's height": tally.heights,
        "objects an image": tally.objects_per_image,
        "object's side": tally.object_sides,
        "height over width": tally.object_ratios,
    }
    for name, values in rows.items():
        if values is not None:
            table.add_row(name, *(f"{value:.3g}" for value in values))
    (width, height), count = tally.sizes[0]
    table.caption = f"commonest size: {width} x {height}, {count} of {tally.images} images"
    return table


def _classes(found: Statistics) -> Table:
    table = Table(title="Classes, and the share of each that the configured anchors reach")
    table.add_column("class", no_wrap=True)
    for name in ("objects", "images", "side", "h/w", *(f"IoU {least}" for least in OVERLAPS)):
        table.add_column(name, justify="right")
    configured = [one.per_class for one in found.reached if one.min_size == found.min_size]
    shares = dict(zip(found.classes, configured[0], strict=True)) if configured else {}
    for one in found.tally.classes:
        middle = ["-" if value is None else f"{value:.3g}" for value in (one.side, one.ratio)]
        reached = ["-" if share != share else f"{share:.1%}" for share in shares.get(one.name, ())]
        table.add_row(one.name, str(one.objects), str(one.images), *middle, *reached)
    return table


def _reached(found: Statistics) -> Table:
    table = Table(title="Objects that an anchor reaches")
    table.add_column("anchors")
    for name in ("min_size", "object's side", *(f"IoU {least}" for least in OVERLAPS), "mean of classes"):
        table.add_column(name, justify="right")
    for one in found.reached:
        table.add_row("configured", *_cells(one))
    if found.reached_by_advised is not None:
        table.add_section()
        table.add_row("advised", *_cells(found.reached_by_advised), style="bold")
    return table


def _cells(reached: Reached) -> list[str]:
    by_class = (f"{share:.1%}" for share in np.nanmean(reached.per_class, 0))
    shares = (f"{share:.1%}" for share in reached.shares)
    return [str(reached.min_size), f"{reached.side:.3g}", *shares, " and ".join(by_class)]
