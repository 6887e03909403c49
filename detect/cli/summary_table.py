"""The layers of a detector as a table for the terminal."""

from __future__ import annotations

import dataclasses

from rich.box import SIMPLE_HEAD
from rich.table import Table

from detect.explain.network.summary import UNBOUNDED, SlotTotal, Summary


def summary_table(summary: Summary) -> Table:
    """Return the table: one row for each layer, grouped by slot, then the totals."""
    height, width = summary.canvas
    table = Table(title=f"{summary.classes} classes, one image on {width} x {height} pixels (w x h)", box=SIMPLE_HEAD)
    for name in ("layer", "kind", "output"):
        table.add_column(name, overflow="fold")
    for name in ("sees", "jump", "parameters", "million mult-adds", "output MB"):
        table.add_column(name, justify="right", no_wrap=True)
    slot = None
    for layer in summary.layers:
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
    for name, total in [*summary.totals.items(), ("all", summary.total)]:
        table.add_row(
            name, "", _frozen(total), "", "", _count(total.parameters), _millions(total.multiply_adds), style="bold"
        )
    return table


def summary_to_dict(summary: Summary) -> dict[str, object]:
    """Return the summary as plain values for JSON, with exact sizes and counts."""
    totals = {name: _total_to_dict(total) for name, total in summary.totals.items()}
    return dataclasses.asdict(summary) | {"totals": totals, "whole": _total_to_dict(summary.total)}


def _total_to_dict(total: SlotTotal) -> dict[str, int]:
    return {"parameters": total.parameters, "trained": total.trainable, "multiply_adds": total.multiply_adds}


def _frozen(total: SlotTotal) -> str:
    frozen = total.parameters - total.trainable
    return f"{frozen:,} frozen" if frozen else ""


def _count(count: int) -> str:
    return f"{count:,}" if count else ""


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f}" if count else ""


def _pixels(sides: tuple[float, ...] | None) -> str:
    """Format sizes in pixels; a single number if all sides are equal."""
    if sides is None:
        return ""
    texts = ["all" if side >= UNBOUNDED else f"{side:g}" for side in sides]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)
