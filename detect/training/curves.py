"""Plot the metrics.csv of a run: losses, validation loss, metrics and learning rate over the epochs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detect.errors import UserError
from detect.system.files import require_file, write_bytes

Curves = dict[str, list[float]]  # the columns by name, nan for a blank cell

_POSITIONS = ("step", "epoch")
_SIZE = (5.0, 3.2)  # of a panel, in inches


def draw_curves(metrics_csv: Path, out: Path) -> None:
    """Draw the figure and write it to ``out``, a .png.

    metrics_csv: a header, then rows of numbers, in which a cell may be blank. ``step`` and ``epoch`` are the x axis,
    names that start with ``val_`` belong to a validation, ``lr`` is the learning rate, names that end with ``_seconds``
    are not drawn and the others are losses. Raises UserError if the file is missing or a cell is not a number.
    """
    curves = read_curves(metrics_csv)
    panels = filled_panels(curves)
    columns = min(2, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = Figure(figsize=(_SIZE[0] * columns, _SIZE[1] * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for index, (title, names) in enumerate(panels, start=1):
        _panel(figure.add_subplot(rows, columns, index), title, names, curves)
    if not panels:
        figure.text(0.5, 0.5, "no numbers yet", ha="center", va="center", color="gray")
    png = io.BytesIO()
    figure.savefig(png, format="png")
    write_bytes(out, png.getvalue())


def read_curves(metrics_csv: Path) -> Curves:
    """Return the columns of a metrics.csv by name, nan for a blank cell; an incomplete last row is skipped."""
    text = require_file(metrics_csv, "a metrics.csv").read_text(encoding="utf-8")
    lines = list(csv.reader(io.StringIO(text)))
    header = lines[0] if lines else []
    if not any(position in header for position in _POSITIONS):
        raise UserError(f"{metrics_csv}: expected a column step or epoch, found {', '.join(header) or 'an empty file'}")
    numbered = enumerate(lines[1:], start=2)
    complete_lines = [(line_number, line) for line_number, line in numbered if len(line) == len(header)]
    if len(complete_lines) < len(lines) - 1 - (not text.endswith("\n")):
        raise UserError(f"{metrics_csv}: expected {len(header)} cells in each line, found a line with others")
    return {
        name: [_parse_number(metrics_csv, line_number, name, line[i]) for line_number, line in complete_lines]
        for i, name in enumerate(header)
    }


def _parse_number(file: Path, line_number: int, name: str, cell: str) -> float:
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        raise UserError(f'{file}: line {line_number}, {name}: expected a number, found "{cell}"') from None


def filled_panels(curves: Curves) -> list[tuple[str, list[str]]]:
    """Return the title of each panel and its columns that have numbers; panels without numbers are not returned."""
    filled_columns = [name for name in curves if points(curves, name)[0]]
    return [(title, names) for title, names in _panels(filled_columns) if names]


def _panels(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return the title and the columns of each panel."""
    curve_names = [name for name in names if name not in _POSITIONS and not name.endswith("_seconds")]
    validation = [name for name in curve_names if name.startswith("val_")]
    val_losses = [name for name in validation if name.startswith("val_loss")]
    # A panel of its own: with its weight of 0.0025 the adversary's loss is a flat line beside those of the detector.
    adversary = [name for name in curve_names if name.startswith("adversary_")]
    return [
        ("loss", [name for name in curve_names if name not in (*validation, *adversary, "lr")]),
        ("loss of the adversary", adversary),
        ("validation loss", val_losses),
        ("validation metrics", [name for name in validation if name not in val_losses]),
        ("learning rate", [name for name in curve_names if name == "lr"]),
    ]


def points(curves: Curves, name: str) -> tuple[list[float], list[float]]:
    """Return the x positions at which a column has finite numbers, and these numbers."""
    position = curves["epoch" if "epoch" in curves else "step"]
    finite = [(x, y) for x, y in zip(position, curves[name], strict=True) if math.isfinite(x) and math.isfinite(y)]
    return [x for x, _ in finite], [y for _, y in finite]


def _panel(axes: Axes, title: str, names: Sequence[str], curves: Curves) -> None:
    for name in names:
        x, y = points(curves, name)
        label = name.removeprefix("val_").removeprefix("loss_")
        # The sum is drawn thicker than its parts; a few points get markers, since a single one makes no line.
        axes.plot(
            x, y, label=label, linewidth=2 if name == "loss" else 1.2, marker="o" if len(x) < 30 else "", markersize=3
        )
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch" if "epoch" in curves else "step", fontsize=9)
    axes.set_ylim(bottom=0, top=1 if title == "validation metrics" else None)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    if len(names) > 1:
        axes.legend(fontsize=8, frameon=False)
