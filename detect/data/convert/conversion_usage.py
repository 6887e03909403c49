"""Counts how many boxes and images of a data set a conversion keeps."""

from __future__ import annotations

from dataclasses import dataclass

from detect.data.convert.convertible_dataset import ConvertibleDataset
from detect.data.findings import DatasetFinding
from detect.data.usage import DataUsage, count_reasons, count_titles, skipped_images


@dataclass(frozen=True)
class ConversionUsage:
    """counts: of boxes and images; skipped: the findings of images without labels; noted: the other findings."""

    counts: DataUsage
    skipped: list[DatasetFinding]
    noted: list[DatasetFinding]


def conversion_usage(data: ConvertibleDataset) -> ConversionUsage:
    """Count the boxes and images of a data set that is converted; a conversion clips no box."""
    skipped = skipped_images(data.findings, {str(file) for file in data.images()})
    noted = [finding for finding in data.findings if finding not in skipped]
    counts = DataUsage(
        kept=len(list(data.objects())),
        dropped=count_reasons(data.dropped),
        clipped=0,
        images=len(data.images()),
        skipped=len(skipped),
        noted=count_titles(noted),
    )
    return ConversionUsage(counts=counts, skipped=skipped, noted=noted)
