"""The layers of a detector as a table for the terminal."""

from __future__ import annotations

import dataclasses

from rich.box import SIMPLE_HEAD
from rich.table import Table

from detect.explain.network.summary import UNBOUNDED, Summary, Total


def summary_table(found: Summary) -> Table:
    """A row a layer, slot by slot, and the totals."""
    height, width = found.canvas
    table = Table(title=f"{found.classes} classes, one image on {width} x {height} pixels (w x h)", box=SIMPLE_HEAD)
    for name in ("layer", "kind", "output"):
        table.add_column(name, overflow="fold")
    for name in ("sees", "jump", "parameters", "million mult-adds", "output MB"):
        table.add_column(name, justify="right", no_wrap=True)
    slot = None
    for layer in found.layers:
        if layer.slot != slot:
            slot = layer.slot
            table.add_section()
            table.add_row(f"[bold]{slot}[/bold]")
        shape = "x".join(map(str, layer.output))
        table.add_row(
            f"  {layer.name}",
            layer.kind,
            shape,
            _pixels(layer.field),
            _pixels(layer.jump),
            _count(layer.parameters),
            _millions(layer.multiply_adds),
            _millions(layer.memory),
        )
    table.add_section()
    for name, total in [*found.totals.items(), ("all", found.whole)]:
        table.add_row(
            name, "", _frozen(total), "", "", _count(total.parameters), _millions(total.multiply_adds), style="bold"
        )
    return table


def summary_plain(found: Summary) -> dict[str, object]:
    """For JSON: sizes and counts in full."""
    return dataclasses.asdict(found) | {"whole": dataclasses.asdict(found.whole)}


def _frozen(total: Total) -> str:
    frozen = total.parameters - total.trained
    return f"{frozen:,} frozen" if frozen else ""


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _millions(number: int) -> str:
    return f"{number / 1e6:,.2f}" if number else ""


def _pixels(sides: tuple[float, ...] | None) -> str:
    """One number where all sides are alike."""
    if sides is None:
        return ""
    told = ["all" if side >= UNBOUNDED else f"{side:g}" for side in sides]
    return told[0] if len(set(told)) == 1 else "x".join(told)
