"""Formats the statistics of a data set as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.table import Table

from detect.data.inspect.counts import QUANTILES, DatasetCounts
from detect.data.inspect.statistics import IOU_THRESHOLDS, AnchorRecall, DatasetStatistics
from detect.system.numbers import format_number


def format_counts(counts: DatasetCounts) -> str:
    """Return one line with the numbers of images and objects."""
    flags = f"{counts.difficult} difficult, {counts.crowd} crowds"
    line = f"{counts.images} images ({counts.without_objects} without objects), {counts.objects} objects ({flags})"
    return line + (f", {counts.dropped} invalid boxes" if counts.dropped else "")


def statistics_tables(statistics: DatasetStatistics) -> Iterator[Table]:
    """Yield the tables of quantiles, of classes, and of anchor recall if there are objects."""
    yield _quantile_table(statistics.counts)
    yield _class_table(statistics)
    if statistics.anchor_recalls:
        yield _recall_table(statistics)


def _quantile_table(counts: DatasetCounts) -> Table:
    table = Table(title="Sizes of the images and objects (quantiles)")
    table.add_column("")
    for quantile in QUANTILES:
        table.add_column({0.0: "min", 0.5: "median", 1.0: "max"}.get(quantile, f"{quantile:.0%}"), justify="right")
    rows = {
        "image width": counts.widths,
        "image height": counts.heights,
        "objects per image": counts.objects_per_image,
        "object side": counts.object_sides,
        "height / width": counts.object_ratios,
    }
    for name, quantiles in rows.items():
        if quantiles is not None:
            table.add_row(name, *map(format_number, quantiles))
    (width, height), num_images = counts.sizes[0]
    table.caption = f"most frequent size: {width} x {height}, {num_images} of {counts.images} images"
    return table


def _class_table(statistics: DatasetStatistics) -> Table:
    table = Table(title="Classes, with the recall of the configured anchors")
    table.add_column("class", no_wrap=True)
    for name in ("objects", "images", "side", "h/w", *(f"IoU {threshold}" for threshold in IOU_THRESHOLDS)):
        table.add_column(name, justify="right")
    configured = [
        anchor_recall.per_class
        for anchor_recall in statistics.anchor_recalls
        if anchor_recall.min_size == statistics.min_size
    ]
    recall_of_class = dict(zip(statistics.classes, configured[0], strict=True)) if configured else {}
    for counts in statistics.counts.classes:
        medians = ["-" if median is None else format_number(median) for median in (counts.side, counts.ratio)]
        recalls = ["-" if np.isnan(recall) else f"{recall:.1%}" for recall in recall_of_class.get(counts.name, ())]
        table.add_row(counts.name, str(counts.objects), str(counts.images), *medians, *recalls)
    return table


def _recall_table(statistics: DatasetStatistics) -> Table:
    table = Table(title="Anchor recall: objects with an anchor of at least that IoU")
    table.add_column("anchors")
    for name in ("min_size", "object side", *(f"IoU {threshold}" for threshold in IOU_THRESHOLDS), "mean of classes"):
        table.add_column(name, justify="right")
    for anchor_recall in statistics.anchor_recalls:
        table.add_row("configured", *_recall_cells(anchor_recall))
    if statistics.recall_of_suggested is not None:
        table.add_section()
        table.add_row("suggested", *_recall_cells(statistics.recall_of_suggested), style="bold")
    return table


def _recall_cells(anchor_recall: AnchorRecall) -> list[str]:
    recalls = (f"{recall:.1%}" for recall in anchor_recall.recall)
    class_means = (f"{recall:.1%}" for recall in np.nanmean(anchor_recall.per_class, 0))
    return [str(anchor_recall.min_size), format_number(anchor_recall.side), *recalls, " and ".join(class_means)]
