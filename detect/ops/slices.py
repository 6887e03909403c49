"""The slices of a large image: windows of one size that cover it, the last ones moved back to its border."""

from __future__ import annotations

from detect.types import Size

Window = tuple[int, int, int, int]  # x1, y1, x2, y2, integer pixels


def slice_windows(size: Size, slice_size: Size, overlap: float) -> list[Window]:
    """Return the windows of an image of ``size`` (h, w), row by row, that together cover every pixel of it.

    slice_size: (h, w) of a window, cut to that of the image; overlap: the fraction of its sides that a window shares
    with the next one, 0 to below 1, and more at the right and at the bottom, where the last window ends at the border.
    So all windows have the same size. An image that is no larger than a slice is one window.
    """
    height, width = (min(side, length) for side, length in zip(slice_size, size, strict=True))
    rows, columns = (_starts(length, side, overlap) for length, side in zip(size, (height, width), strict=True))
    return [(x, y, x + width, y + height) for y in rows for x in columns]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Return where the windows of ``side`` pixels start on an axis of ``length`` pixels."""
    step = max(1, round(side * (1 - overlap)))
    count = -(-(length - side) // step) + 1
    return [min(i * step, length - side) for i in range(count)]
