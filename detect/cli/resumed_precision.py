"""The precision in which an interrupted prediction goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from detect.cli.options import Precision


def resumed_precision(precision: Precision | Literal["auto"], journal: Path) -> Precision | Literal["auto"]:
    """Return for auto the precision of the interrupted run that has left a journal, and say so; else ``precision``."""
    from detect.inference.prediction_journal import journal_precision

    interrupted = journal_precision(journal) if precision == "auto" else None
    if interrupted is None:
        return precision
    print(f"precision: {interrupted}, as in the run that was interrupted", flush=True)
    return interrupted
